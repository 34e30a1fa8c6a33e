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

/** A process of an attempt, named for good by its pid and its start. */
export interface AttemptProcess {
  pid: number
  /** In ticks since boot. */
  start: string
  /** Its program and arguments. */
  command: string
}

/** The processes of one attempt of a runner on this machine. */
export interface AttemptProcesses {
  /** The value of the attempt's mark. */
  key: string
  /** Of its runner. */
  folder: string
  /** Absent where nothing that can be seen says it. */
  attemptId?: string
  /** The oldest one first. */
  processes: AttemptProcess[]
}

const WAITS = 'errand, which waits for the command'
/** A container that does not end within it is left to who removes it. */
const CONTAINER_ENDS_WITHIN_MS = 10_000

/** All processes of runners' attempts that this user may look at, by attempt. None where there is no /proc. */
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

/** Whether something of the attempt is there. */
export const isThere = (key: string): boolean => processesMarked(`${markOf(key)}\0`).length > 0

/**
 * Ends all of an attempt: SIGTERM, the grace, SIGKILL. Its processes are looked up by their mark before each signal, and get it
 * only where they are still what they were: a number that is meanwhile another process's is not hit. `members`: those that
 * have lost the mark. False where one survives.
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

/** Ends the containers of an attempt by the programs that stand for them. */
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

/** The wrapper that waits for an attempt's command stands between runner and command, and knows the attempt's folder. */
const CLAIM = /\/attempts\/([^/\0]+)\/[^\0]*claim\.\d+\0/
