import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { groupMembers, isAlive, type ProcessTree, signal, treeMembers } from './proc.ts'

/** A process that SIGKILL does not end within this time hangs in the kernel; waiting longer does not help. */
const UNKILLABLE_AFTER_MS = 10_000
/** Grace for background processes of a command that has ended: enough to shut down, too short to delay the result. */
const SWEEP_GRACE_MS = 300

/** A child process that has these of its streams as pipes. */
export type ChildWith<Streams extends 'stdin' | 'stdout' | 'stderr'> = ChildProcess & {
  [Stream in Streams]: NonNullable<ChildProcess[Stream]>
}

export type GroupOptions = Pick<SpawnOptions, 'cwd' | 'env' | 'stdio'>

/** Starts a program in its own session, and so in its own group. Throws or emits `error` as `spawn` does. */
export const spawnGroup = <Streams extends 'stdin' | 'stdout' | 'stderr' = never>(
  [program, ...args]: readonly string[],
  options: GroupOptions,
): ChildWith<Streams> => spawn(program!, args, { ...options, detached: true }) as ChildWith<Streams>

/**
 * A process with all that it starts. Its group and a mark in the environment identify the tree, which is ended as a
 * whole.
 */
export class ChildTree {
  /** Unset before the start, and when another process may have the group's number by now. */
  group: number | undefined
  readonly #mark: string
  readonly #more: Pick<ProcessTree, 'members' | 'spares'> & { seal?: () => void }
  readonly #force = new AbortController()
  #stopping: Promise<boolean> | undefined

  /** `seal` keeps the tree from starting further processes; it is called once the grace is over. */
  constructor(mark: string, more: Pick<ProcessTree, 'members' | 'spares'> & { seal?: () => void } = {}) {
    this.#mark = mark
    this.#more = more
  }

  /** Ends the whole tree. Resolves with false when a process survives. A second call can only shorten the grace. */
  stop(graceMs: number): Promise<boolean> {
    if (graceMs === 0) this.expedite()
    const { members, spares, seal } = this.#more
    const tree = { group: this.group, mark: this.#mark, members, spares }
    this.#stopping ??= endTree(tree, graceMs, this.#force.signal, seal)
    return this.#stopping
  }

  /** Skips the grace, or what is left of it. */
  expedite(): void {
    this.#force.abort()
  }

  /** Ends the processes that the first process, which has ended, left in its group: nothing outlives it. */
  sweep(): Promise<boolean> | undefined {
    return this.#stopping ?? (this.group === undefined ? undefined : sweepGroup(this.group, SWEEP_GRACE_MS))
  }
}

/**
 * Starts a program whose tree can be ended as a whole: `mark` (`NAME=value`) is added to its environment. Throws or
 * emits `error` as `spawn` does.
 */
export function spawnTree<Streams extends 'stdin' | 'stdout' | 'stderr' = never>(
  argv: readonly string[],
  { mark, env, ...options }: GroupOptions & { mark: string },
): { child: ChildWith<Streams>; tree: ChildTree } {
  const at = mark.indexOf('=')
  const marked = { ...env, [mark.slice(0, at)]: mark.slice(at + 1) }
  const child = spawnGroup<Streams>(argv, { ...options, env: marked })
  const tree = new ChildTree(mark)
  tree.group = child.pid
  return { child, tree }
}

/**
 * Sends SIGTERM to the whole tree, waits for the grace (`force` cuts it short), then sends SIGKILL until nothing is
 * left. Resolves with false when a process survives even that. `beforeKill` is called once the grace is over.
 */
export async function endTree(
  tree: ProcessTree,
  graceMs: number,
  force?: AbortSignal,
  beforeKill?: () => void,
): Promise<boolean> {
  const first = treeMembers(tree)
  if (first.length === 0) return true
  if (graceMs > 0 && force?.aborted !== true) {
    signalAll(tree, first, 'SIGTERM')
    const left = () => first.some((each) => isAlive(each.pid, each.start)) || groupLeft(tree)
    await waitUntil(() => !left(), graceMs, force)
  }
  beforeKill?.()
  return await killUntilGone(
    () => treeMembers(tree),
    (members) => signalAll(tree, members, 'SIGKILL'),
  )
}

/**
 * Ends what a command left in its group when it ended: SIGTERM, the grace, SIGKILL. `ours` tells which of the group's
 * processes count. Returns at once, without a promise, when there are none.
 */
export function sweepGroup(
  group: number,
  graceMs: number,
  ours: (pid: number) => boolean = () => true,
): Promise<boolean> | undefined {
  const members = () => groupMembers(group).filter(ours)
  const first = members()
  if (first.length === 0) return undefined
  return endProcesses(members, graceMs)
}

/**
 * Sends SIGTERM to these processes only, not to their children; waits for the grace, then sends SIGKILL. Resolves with
 * false when one survives.
 */
export async function endProcesses(pids: () => number[], graceMs: number): Promise<boolean> {
  for (const pid of pids()) signal(pid, 'SIGTERM')
  await waitUntil(() => pids().length === 0, graceMs)
  return await killUntilGone(pids, (left) => left.forEach((pid) => void signal(pid, 'SIGKILL')))
}

function signalAll(
  tree: ProcessTree,
  members: readonly { pid: number; group: number }[],
  name: NodeJS.Signals,
) {
  const spared = name === 'SIGTERM' ? tree.spares : undefined
  if (spared) {
    for (const { pid } of members) if (!spared(pid)) signal(pid, name)
    return
  }
  if (tree.group !== undefined) signal(-tree.group, name)
  for (const each of members) if (each.group !== tree.group) signal(each.pid, name)
}

const groupLeft = (tree: ProcessTree) => tree.group !== undefined && groupMembers(tree.group).length > 0

async function killUntilGone<T>(members: () => T[], kill: (members: T[]) => void): Promise<boolean> {
  // Repeats, because a process may have forked between the listing and the signal.
  return await waitUntil(() => {
    const left = members()
    if (left.length > 0) kill(left)
    return left.length === 0
  }, UNKILLABLE_AFTER_MS)
}

async function waitUntil(condition: () => boolean, withinMs: number, cut?: AbortSignal): Promise<boolean> {
  const until = performance.now() + withinMs
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 100)) {
    if (holds(condition)) return true
    const leftMs = until - performance.now()
    if (leftMs <= 0 || cut?.aborted === true) return false
    await sleep(Math.min(pauseMs, leftMs), undefined, cut && { signal: cut }).catch(() => undefined)
  }
}

/**
 * Reports whether the condition holds. Returns false when it cannot be checked now (no descriptors left), so that it is
 * checked again.
 */
function holds(condition: () => boolean): boolean {
  try {
    return condition()
  } catch {
    return false
  }
}
