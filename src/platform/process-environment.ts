import { readFileSync } from 'node:fs'

/** One such moment takes a few looks; longer where the process has to wait for its turn in the middle of it. */
const MAX_LOOKS = 100

/**
 * The environment with which a process began its program, with a zero byte before each variable; empty where it cannot
 * be read, or there is none. While the process begins another program there is none to see: then it is looked at again,
 * and undefined is answered where that lasts.
 */
export function environmentOf(pid: number): string | undefined {
  try {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const text = readFileSync(`/proc/${pid}/environ`, 'latin1')
      if (text !== '') return `\0${text}`
      if (!beginsProgram(pid)) return ''
    }
    return undefined
  } catch {
    // It is gone, or another user's.
    return ''
  }
}

/**
 * Then the kernel knows no place of its environment yet, or one without an end; where its code stands is written last.
 * One that has no memory is dead, or the kernel's own.
 */
function beginsProgram(pid: number): boolean {
  const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const [memory, code, start, end] = [fields[20], fields[23], fields[47], fields[48]]
  return memory !== '0' && (code === '0' || start !== end)
}
