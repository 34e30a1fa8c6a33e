import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'

/** The line holds some fifty numbers, and a name of at most 64 bytes. */
const MAX_STAT_BYTES = 2048
/** Clock ticks per second in /proc: the same on every Linux that Node runs on. */
export const TICKS_PER_SECOND = 100
/** The key of the page size in the auxiliary vector. */
const AT_PAGESZ = 6n
/**
 * A process that begins a program has finished doing so after a few looks; it takes longer when it loses its CPU
 * halfway.
 */
const MAX_READS = 100

/** A process as /proc/<pid>/stat shows it. */
export interface ProcessStat {
  pid: number
  parent: number
  group: number
  session: number
  /** Clock ticks since boot, as text. Together with the pid it identifies a process until the next boot. */
  start: string
  threads: number
  /** CPU time of the process and of the children that it has waited for. */
  cpuMs: number
  childrenCpuMs: number
  residentPages: number
}

/** Processes that belong together: a process group, and every process with `mark` (`NAME=value`) in its environment. */
export interface ProcessTree {
  /** Absent when another process may have the group's number by now. */
  group?: number
  mark: string
  /** Further processes that belong to the tree, known from another source. */
  members?(): readonly number[]
  /** Processes of the tree that get no SIGTERM, since all others would be killed with them. */
  spares?(pid: number): boolean
}

/**
 * Reads a file that /proc has of a process. Undefined when the process is gone, the file may not be read, or there is
 * no /proc.
 */
export function procText(pid: number | 'self', file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return undefined
  }
}

/**
 * Returns the fields of a line of /proc/<pid>/stat after the name, which is in parentheses and may itself hold any
 * character.
 */
const fieldsOf = (line: string): string[] => line.slice(line.lastIndexOf(')') + 2).split(' ')

/**
 * Parses a line of /proc/<pid>/stat. Undefined for a zombie, which only its parent has yet to reap, and for any other
 * text.
 */
export function parseStat(line: string): ProcessStat | undefined {
  const fields = fieldsOf(line)
  const start = fields[19]
  if (start === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined
  const number = (index: number) => Number(fields[index])
  return {
    pid: Number.parseInt(line, 10),
    parent: number(1),
    group: number(2),
    session: number(3),
    start: start.trim(),
    threads: number(17),
    cpuMs: cpuMsOf(fields, 11),
    childrenCpuMs: cpuMsOf(fields, 13),
    residentPages: number(21),
  }
}

/**
 * Sums figures in ticks: from the first of the process's own two, or from the first of its children's two, to the last.
 */
const cpuMsOf = (fields: readonly string[], first: 11 | 13): number =>
  (fields.slice(first, 15).reduce((sum, field) => sum + Number(field), 0) * 1000) / TICKS_PER_SECOND

/**
 * Returns the live process with this pid; undefined when there is none, or no /proc. Throws when it cannot be read (no
 * descriptors left).
 */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(statLine(pid))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}

/** Reads the line with as few system calls as possible, since callers read all processes of a machine in a row. */
function statLine(pid: number): string {
  const descriptor = openSync(`/proc/${pid}/stat`, 'r')
  try {
    const line = Buffer.allocUnsafe(MAX_STAT_BYTES)
    return line.toString('latin1', 0, readSync(descriptor, line))
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Returns the CPU time of a child of this process and of all that it has waited for, even while the child is dead and
 * not yet reaped.
 */
export function spentCpuMs(pid: number): number | undefined {
  const fields = fieldsOf(procText(pid, 'stat') ?? '')
  // Another process may have the number by now.
  return Number(fields[1]) === process.pid ? cpuMsOf(fields, 11) : undefined
}

/**
 * Returns the memory that a process uses, swapped-out memory included; of pages that several processes share, its part.
 * Undefined when the process is gone, or its memory may not be read.
 */
export function proportionalBytes(pid: number): number | undefined {
  const text = procText(pid, 'smaps_rollup')
  if (text === undefined) return undefined
  const kiB = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  return (kiB('Pss') + kiB('SwapPss')) * 1024
}

/** Returns the size of a memory page. */
export function pageBytes(): number {
  const words = Buffer.from(procText('self', 'auxv') ?? '', 'latin1')
  for (let at = 0; at + 16 <= words.length; at += 16)
    if (words.readBigUInt64LE(at) === AT_PAGESZ) return Number(words.readBigUInt64LE(at + 8))
  return 4096
}

/** Reports whether memory can leave the resident sets of processes without being freed. */
export function hasSwap(): boolean {
  try {
    return readFileSync('/proc/swaps', 'latin1').trim().includes('\n')
  } catch {
    return false
  }
}

/** Counts the files that this process has open; undefined when there is no /proc. */
export function openDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}

/**
 * Closes the descriptors beyond the standard streams that this program inherited (a lock, a socket), because its
 * children would inherit them too. Files that this program opens itself are never passed on: the kernel marks each as
 * such.
 */
export function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name)
    if (fd <= 2) continue
    try {
      const flags = /^flags:\t(\d+)$/m.exec(procText('self', `fdinfo/${fd}`) ?? '')?.[1]
      if (flags !== undefined && (Number.parseInt(flags, 8) & 0o2000000) === 0) closeSync(fd)
    } catch {
      // The descriptor of the listing itself is gone by now.
    }
  }
}

/** Identifies one boot of this machine; empty when unknown. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  } catch {
    return ''
  }
}

/** Reports whether the process with this pid, and this start when it is known, is alive. */
export function isAlive(pid: number, start: string): boolean {
  if (start !== '') return processStat(pid)?.start === start
  return signal(pid, 0)
}

/** Sends a signal, and reports whether there is a process to receive it. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Returns the live processes of the group. Cheap when there are none. */
export function groupMembers(group: number): number[] {
  if (!signal(-group, 0)) return []
  const all = listProcesses()
  // Without /proc the group's number stands for its members.
  if (all === undefined) return [-group]
  return all.filter((each) => each.group === group).map((each) => each.pid)
}

/**
 * Returns the environment with which a process began its program, with a zero byte before each variable. Empty when it
 * cannot be read, or there is none. While the process begins another program no environment is visible: it is read
 * again, and the result is undefined if that state lasts.
 */
export function environmentOf(pid: number): string | undefined {
  try {
    for (let reads = 0; reads < MAX_READS; reads++) {
      const text = readFileSync(`/proc/${pid}/environ`, 'latin1')
      if (text !== '') return `\0${text}`
      if (!beginsProgram(pid)) return ''
    }
    return undefined
  } catch {
    // The process is gone, or belongs to another user.
    return ''
  }
}

/**
 * Reports whether a process is about to begin a program: the kernel then knows no environment yet, or one without an
 * end, and it sets the address of the code last. A process without memory is dead, or belongs to the kernel.
 */
function beginsProgram(pid: number): boolean {
  const fields = fieldsOf(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  const [memory, code, start, end] = [fields[20], fields[23], fields[47], fields[48]]
  return memory !== '0' && (code === '0' || start !== end)
}

/** Reports whether the process has the variable `mark` (`NAME=value`) in its environment. */
export function hasMark(pid: number, mark: string): boolean {
  return environmentOf(pid)?.includes(`\0${mark}\0`) ?? false
}

/** Reports whether the process is in a PID namespace below this process's own, as in a container. */
export const isFurtherIn = (pid: number): boolean => depthOf(pid) > depthOf('self')

const depthOf = (pid: number | 'self'): number =>
  /^NSpid:\t(.*)$/m.exec(procText(pid, 'status') ?? '')?.[1]?.split('\t').length ?? 0

/** Returns a process that works in the folder or has something in it open. Processes of other users are not visible. */
export const holderOf = (folder: string): number | undefined => holdersOf(folder)[0]

/**
 * Returns all processes that work in the folder or have something in it open. Processes of other users are not visible.
 */
export function holdersOf(folder: string): number[] {
  const isBelowIt = (link: string): boolean => {
    try {
      return readlinkSync(link).startsWith(`${folder}/`)
    } catch {
      return false
    }
  }
  const descriptorsOf = (pid: number): string[] => {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`)
    } catch {
      return []
    }
  }
  return visibleProcesses()
    .map(({ pid }) => pid)
    .filter((pid) => pid !== process.pid)
    .filter((pid) => isBelowIt(`/proc/${pid}/cwd`) || descriptorsOf(pid).some(isBelowIt))
}

/** Returns the live processes whose environment has a variable (`NAME=value`) that begins like this. */
export function processesMarked(beginning: string): number[] {
  const all = listProcesses() ?? []
  return all.map(({ pid }) => pid).filter((pid) => environmentOf(pid)?.includes(`\0${beginning}`))
}

/**
 * Returns all live processes of the tree: the group, those with the mark, and all that these started. Never includes
 * this process.
 */
export function treeMembers(tree: ProcessTree): Pick<ProcessStat, 'pid' | 'group' | 'start'>[] {
  const { group } = tree
  const inGroup = group !== undefined && signal(-group, 0)
  const more = new Set(tree.members?.())
  // Mostly nothing is left; this shortcut avoids reading every process of the machine.
  if (
    !inGroup &&
    more.size === 0 &&
    !processIds()?.some((pid) => pid !== process.pid && hasMark(pid, tree.mark))
  )
    return []
  const all = listProcesses()
  if (all === undefined) return inGroup ? [{ pid: -group, group, start: '' }] : []
  const found = new Map<number, ProcessStat>()
  // Kernel threads are in no group, and have no environment to read.
  for (const each of all)
    if (
      each.pid !== process.pid &&
      (each.group === tree.group || more.has(each.pid) || (each.group !== 0 && hasMark(each.pid, tree.mark)))
    )
      found.set(each.pid, each)
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const each of all) if (found.has(each.parent) && each.pid !== process.pid) found.set(each.pid, each)
  }
  return [...found.values()]
}

/** Returns the pids of all processes; undefined when there is no /proc. */
function processIds(): number[] | undefined {
  try {
    const names = readdirSync('/proc')
    return names.includes('self') ? names.filter((name) => /^\d+$/.test(name)).map(Number) : undefined
  } catch {
    return undefined
  }
}

/** Returns all live processes that may be read. Throws when there is no /proc. */
export function visibleProcesses(): ProcessStat[] {
  const pids = processIds()
  if (pids === undefined) throw new Error('There is no /proc.')
  return pids.map((pid) => parseStat(procText(pid, 'stat') ?? '')).filter((each) => each !== undefined)
}

/** Returns all live processes; undefined when there is no /proc, or it cannot be read. */
export function listProcesses(): ProcessStat[] | undefined {
  try {
    return processIds()
      ?.map(processStat)
      .filter((each) => each !== undefined)
  } catch {
    return undefined
  }
}
