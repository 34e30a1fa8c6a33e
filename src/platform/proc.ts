import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'

/** Some fifty numbers, and a name of at most 64 bytes. */
const MAX_STAT_BYTES = 2048
/** Clock ticks of a second in /proc: the same on every Linux that Node runs on. */
export const TICKS_PER_SECOND = 100
/** The auxiliary vector's key of the size of a page. */
const AT_PAGESZ = 6n
/** A process that begins a program is through with that after a few looks; later where it has to wait for its turn in the middle of it. */
const MAX_LOOKS = 100

/** A process as /proc/<pid>/stat shows it. */
export interface ProcessStat {
  pid: number
  parent: number
  group: number
  session: number
  /** Clock ticks since boot, as text: with the pid it names a process for good, until the next boot. */
  start: string
  threads: number
  /** CPU time of its own and of the children that it has waited for. */
  cpuMs: number
  childrenCpuMs: number
  residentPages: number
}

/** Processes that belong together: a process group, and all that carries `mark` (`NAME=value`) in its environment. */
export interface ProcessTree {
  /** Left out where the group's number may meanwhile be another's. */
  group?: number
  mark: string
  /** Further processes that belong to it, wherever they are known from. */
  members?(): readonly number[]
  /** Of its processes, those that get no SIGTERM: all others would be killed with them. */
  spares?(pid: number): boolean
}

/** The text of a file that /proc has of a process; undefined where that is gone or may not be read, or there is no /proc. */
export function procText(pid: number | 'self', file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return undefined
  }
}

/** The fields of a line of /proc/<pid>/stat behind the name, which stands in parentheses and may itself hold any character. */
const fieldsOf = (line: string): string[] => line.slice(line.lastIndexOf(')') + 2).split(' ')

/** The process of a line of /proc/<pid>/stat; undefined for a zombie, which is dead but for its parent, and for what is no such line. */
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

/** The sum of figures in ticks: from the first of the two of its own, or of its children's, to the last. */
const cpuMsOf = (fields: readonly string[], first: 11 | 13): number =>
  (fields.slice(first, 15).reduce((sum, field) => sum + Number(field), 0) * 1000) / TICKS_PER_SECOND

/** The live process with this pid; undefined where there is none, or no /proc. Throws where it cannot be told (no descriptors left). */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(statLine(pid))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}

/** All processes of a machine are looked at in a row: with as few system calls as it takes. */
function statLine(pid: number): string {
  const descriptor = openSync(`/proc/${pid}/stat`, 'r')
  try {
    const line = Buffer.allocUnsafe(MAX_STAT_BYTES)
    return line.toString('latin1', 0, readSync(descriptor, line))
  } finally {
    closeSync(descriptor)
  }
}

/** CPU time of a child of this process and of all that it has waited for; also while it is dead and not yet reaped. */
export function spentCpuMs(pid: number): number | undefined {
  const fields = fieldsOf(procText(pid, 'stat') ?? '')
  // By now the number may be another's.
  return Number(fields[1]) === process.pid ? cpuMsOf(fields, 11) : undefined
}

/**
 * The memory that a process uses: of pages that several share, its part; and what of it is swapped out. Undefined where it is
 * gone, or where that may not be read.
 */
export function proportionalBytes(pid: number): number | undefined {
  const text = procText(pid, 'smaps_rollup')
  if (text === undefined) return undefined
  const kiB = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  return (kiB('Pss') + kiB('SwapPss')) * 1024
}

/** The size of a page of memory. */
export function pageBytes(): number {
  const words = Buffer.from(procText('self', 'auxv') ?? '', 'latin1')
  for (let at = 0; at + 16 <= words.length; at += 16)
    if (words.readBigUInt64LE(at) === AT_PAGESZ) return Number(words.readBigUInt64LE(at + 8))
  return 4096
}

/** Whether memory can leave the resident sets of processes without being freed. */
export function hasSwap(): boolean {
  try {
    return readFileSync('/proc/swaps', 'latin1').trim().includes('\n')
  } catch {
    return false
  }
}

/** How many files this process has open; undefined where there is no /proc. */
export function openDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}

/**
 * Closes what this program was handed by whoever started it beyond standard input and output (a lock, a socket): it would
 * be handed on to what this one starts. What this program opens itself is never handed on, and the kernel says so of each.
 */
export function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name)
    if (fd <= 2) continue
    try {
      const flags = /^flags:\t(\d+)$/m.exec(procText('self', `fdinfo/${fd}`) ?? '')?.[1]
      if (flags !== undefined && (Number.parseInt(flags, 8) & 0o2000000) === 0) closeSync(fd)
    } catch {
      // That of the listing itself is gone by now.
    }
  }
}

/** Names one boot of this machine; empty where it cannot be told. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  } catch {
    return ''
  }
}

/** Whether the process with this pid, and this start where it is known, is alive. */
export function isAlive(pid: number, start: string): boolean {
  if (start !== '') return processStat(pid)?.start === start
  return signal(pid, 0)
}

/** Sends a signal, and answers whether there is something to take it. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Live processes of the group. Cheap where there are none. */
export function groupMembers(group: number): number[] {
  if (!signal(-group, 0)) return []
  const all = listProcesses()
  // Without /proc the group's number stands for its members.
  if (all === undefined) return [-group]
  return all.filter((each) => each.group === group).map((each) => each.pid)
}

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
  const fields = fieldsOf(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  const [memory, code, start, end] = [fields[20], fields[23], fields[47], fields[48]]
  return memory !== '0' && (code === '0' || start !== end)
}

/** Whether the process has the variable `mark` (`NAME=value`) in its environment. */
export function hasMark(pid: number, mark: string): boolean {
  return environmentOf(pid)?.includes(`\0${mark}\0`) ?? false
}

/** Whether the process stands in a namespace of processes below that of this one, as in a container. */
export const isFurtherIn = (pid: number): boolean => depthOf(pid) > depthOf('self')

const depthOf = (pid: number | 'self'): number =>
  /^NSpid:\t(.*)$/m.exec(procText(pid, 'status') ?? '')?.[1]?.split('\t').length ?? 0

/** A process that works in the folder, or holds something in it open; none of other users is seen. */
export const holderOf = (folder: string): number | undefined => holdersOf(folder)[0]

/** All processes that work in the folder, or hold something in it open; none of other users is seen. */
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

/** Live processes with a variable (`NAME=value`) that begins so in their environment. */
export function processesMarked(beginning: string): number[] {
  const all = listProcesses() ?? []
  return all.map(({ pid }) => pid).filter((pid) => environmentOf(pid)?.includes(`\0${beginning}`))
}

/** All live processes of the tree: the group, what carries the mark, and what these started. Never this process. */
export function treeMembers(tree: ProcessTree): Pick<ProcessStat, 'pid' | 'group' | 'start'>[] {
  const { group } = tree
  const inGroup = group !== undefined && signal(-group, 0)
  const more = new Set(tree.members?.())
  // Mostly nothing is left, which is known without a look at what every process of this machine is.
  if (
    !inGroup &&
    more.size === 0 &&
    !processIds()?.some((pid) => pid !== process.pid && hasMark(pid, tree.mark))
  )
    return []
  const all = listProcesses()
  if (all === undefined) return inGroup ? [{ pid: -group, group, start: '' }] : []
  const found = new Map<number, ProcessStat>()
  // Threads of the kernel are in no group, and have no environment to look at.
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

/** The pids of all processes; undefined where there is no /proc. */
function processIds(): number[] | undefined {
  try {
    const names = readdirSync('/proc')
    return names.includes('self') ? names.filter((name) => /^\d+$/.test(name)).map(Number) : undefined
  } catch {
    return undefined
  }
}

/** All live processes that may be looked at. Throws where there is no /proc. */
export function visibleProcesses(): ProcessStat[] {
  const pids = processIds()
  if (pids === undefined) throw new Error('There is no /proc.')
  return pids.map((pid) => parseStat(procText(pid, 'stat') ?? '')).filter((each) => each !== undefined)
}

/** All live processes; undefined where there is no /proc, or it cannot be read. */
export function listProcesses(): ProcessStat[] | undefined {
  try {
    return processIds()
      ?.map(processStat)
      .filter((each) => each !== undefined)
  } catch {
    return undefined
  }
}
