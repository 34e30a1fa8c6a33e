import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { environmentOf } from './process-environment.ts'

/** Some fifty numbers, and a name of at most 64 bytes. */
const MAX_STAT_BYTES = 2048

/** A process as /proc shows it. */
export interface ProcessStat {
  pid: number
  parent: number
  group: number
  session: number
  /** Clock ticks since boot, as text: with the pid it names a process for good, until the next boot. */
  start: string
}

/** What belongs together: a process group, and all that carries `mark` (`NAME=value`) in its environment. */
export interface ProcessTree {
  /** Left out where the group's number may meanwhile be another's. */
  group?: number
  mark: string
  /** Further processes that belong to it, wherever they are known from. */
  members?(): readonly number[]
}

/** Undefined for what is no line of /proc/<pid>/stat, and for a zombie, which is dead but for its parent. */
export function parseStat(line: string): ProcessStat | undefined {
  // The name stands in parentheses and may itself hold any character.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const [state, parent, group, session] = fields
  const start = fields[19]
  if (start === undefined || state === 'Z' || state === 'X') return undefined
  return {
    pid: Number.parseInt(line, 10),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    start: start.trim(),
  }
}

/** Undefined: no such live process, or no /proc. Throws where it cannot be told (no descriptors left). */
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

/** Names one boot of this machine; empty where it cannot be told. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  } catch {
    return ''
  }
}

/** Is the process with this pid, and this start where it is known, alive? */
export function isAlive(pid: number, start: string): boolean {
  if (start !== '') return processStat(pid)?.start === start
  return signal(pid, 0)
}

/** False: nothing there to take it. */
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

export function hasMark(pid: number, mark: string): boolean {
  return environmentOf(pid)?.includes(`\0${mark}\0`) ?? false
}

/** Live processes with a variable (`NAME=value`) that begins so in their environment. */
export function processesMarked(beginning: string): number[] {
  const all = listProcesses() ?? []
  return all.map(({ pid }) => pid).filter((pid) => environmentOf(pid)?.includes(`\0${beginning}`))
}

/** All live processes of the tree: the group, what carries the mark, and what these started. Never this process. */
export function treeMembers(tree: ProcessTree): ProcessStat[] {
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
  if (all === undefined) return inGroup ? [{ pid: -group, parent: 0, group, session: 0, start: '' }] : []
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

/** Undefined where there is no /proc. */
function processIds(): number[] | undefined {
  try {
    const names = readdirSync('/proc')
    return names.includes('self') ? names.filter((name) => /^\d+$/.test(name)).map(Number) : undefined
  } catch {
    return undefined
  }
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
