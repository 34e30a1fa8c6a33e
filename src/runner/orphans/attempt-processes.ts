import { setTimeout as sleep } from 'node:timers/promises'
import { endTree } from '../../platform/child-tree.ts'
import {
  environmentOf,
  hasMark,
  isAlive,
  isFurtherIn,
  listProcesses,
  processesMarked,
  procText,
  signal,
  treeMembers,
} from '../../platform/proc.ts'
import { markOf, marksOf } from '../attempts/launch.ts'
import { CONTAINER_PROGRAMS, KILL_CONTAINER } from '../containers/container-spec.ts'
import { holdsSandboxUp } from '../sandbox/bridge.ts'

/** A process of an attempt; its pid and its start identify it. */
export interface AttemptProcess {
  pid: number
  /** Start time in ticks since boot. */
  start: string
  /** Command line: its program and arguments. */
  command: string
}

/** The processes of one attempt of a runner on this machine. */
export interface AttemptProcesses {
  /** Value of the attempt's mark. */
  key: string
  /** Folder of its runner. */
  folder: string
  /** Absent if no visible process shows it. */
  attemptId?: string
  /** Processes, oldest first. */
  processes: AttemptProcess[]
}

const WAITS = 'errand, waiting for the command'
/** Limit in ms; a container that takes longer to end is left to whoever removes it. */
const CONTAINER_ENDS_WITHIN_MS = 10_000

/** Lists all processes of attempts that this user may see, by attempt; none without /proc. */
export function attemptProcesses(): AttemptProcesses[] {
  const found = new Map<string, AttemptProcesses>()
  const all = (listProcesses() ?? []).toSorted((a, b) => Number(a.start) - Number(b.start))
  for (const { pid, start, group } of all) {
    // A thread of the kernel.
    if (group === 0 || pid === process.pid) continue
    const { key, folder, attemptId } = marksOf(environmentOf(pid) ?? '')
    if (key === undefined || folder === undefined) continue
    const one = found.get(key) ?? { key, folder, processes: [] }
    const line = procText(pid, 'cmdline') ?? ''
    const waitsFor = CLAIM.exec(line)?.[1]
    one.attemptId ??= attemptId ?? waitsFor
    const command = waitsFor === undefined ? line.replaceAll('\0', ' ').trim() : WAITS
    one.processes.push({ pid, start, command })
    found.set(key, one)
  }
  return [...found.values()]
}

/** Reports whether the attempt has a process. */
export const isThere = (key: string): boolean => processesMarked(`${markOf(key)}\0`).length > 0

/**
 * Ends all processes of an attempt: SIGTERM, the grace, SIGKILL. It looks them up by their mark before each signal, so
 * a reused pid is never hit. `members` are processes that have lost the mark. Returns false if one survives.
 */
export async function endAttempt(
  key: string,
  graceMs: number,
  members: () => readonly number[] = () => [],
): Promise<boolean> {
  const tree = { mark: markOf(key), members }
  for (const { pid, start } of treeMembers(tree))
    if (!holdsSandboxUp(pid) && !isFurtherIn(pid) && isAlive(pid, start)) signal(pid, 'SIGTERM')
  await until(() => treeMembers(tree).length === 0, graceMs)
  await endContainers(tree.mark)
  return await endTree(tree, 0)
}

/** Ends the containers of an attempt through the programs that represent them. */
async function endContainers(mark: string): Promise<void> {
  const programs = processesMarked(`${mark}\0`).filter((pid) =>
    CONTAINER_PROGRAMS.some((name) => procText(pid, 'cmdline')?.includes(`/${name}\0`)),
  )
  for (const pid of programs) signal(pid, KILL_CONTAINER)
  await until(() => !programs.some((pid) => hasMark(pid, mark)), CONTAINER_ENDS_WITHIN_MS)
}

async function until(condition: () => boolean, withinMs: number): Promise<void> {
  const lastMs = performance.now() + withinMs
  while (!condition() && performance.now() < lastMs) await sleep(50)
}

/** Matches the command line of the wrapper between runner and command, which names the attempt's folder. */
const CLAIM = /\/attempts\/([^/\0]+)\/[^\0]*claim\.\d+\0/
