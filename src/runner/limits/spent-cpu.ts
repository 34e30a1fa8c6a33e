import { readFileSync } from 'node:fs'

/** Clock ticks of a second in /proc: the same on every Linux that Node runs on. */
export const TICKS = 100

/** Of the children that the process of this line of /proc/<pid>/stat has waited for. */
export function childrenCpuMs(line: string): number | undefined {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[13]) + Number(fields[14])
  return Number.isFinite(ticks) ? (ticks * 1000) / TICKS : undefined
}

/** CPU time of a child of this process and of all that it has waited for; also while it is dead and not yet reaped. */
export function spentCpuMs(pid: number): number | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
    // By now the number may be another's.
    if (Number(fields[1]) !== process.pid) return undefined
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    return Number.isFinite(ticks) ? (ticks * 1000) / TICKS : undefined
  } catch {
    return undefined
  }
}
