import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { groupMembers, isAlive, type ProcessTree, signal, treeMembers } from './proc.ts'

/** A process that SIGKILL does not end within this hangs in the kernel; waiting longer helps nobody. */
const UNKILLABLE_AFTER_MS = 10_000
/** For background processes of a command that has ended: long enough to say goodbye, too short to be waited for. */
const SWEEP_GRACE_MS = 300

/** A child with these of its streams as pipes. */
export type ChildWith<Streams extends 'stdin' | 'stdout' | 'stderr'> = ChildProcess & {
  [Stream in Streams]: NonNullable<ChildProcess[Stream]>
}

export type GroupOptions = Pick<SpawnOptions, 'cwd' | 'env' | 'stdio'>

/** Starts a program in a session, and so a group, of its own. Throws or emits `error` as `spawn` does. */
export const spawnGroup = <Streams extends 'stdin' | 'stdout' | 'stderr' = never>(
  [program, ...args]: readonly string[],
  options: GroupOptions,
): ChildWith<Streams> => spawn(program!, args, { ...options, detached: true }) as ChildWith<Streams>

/** A process with all that it starts: told from all others by its group and by a mark in the environment, and ended together. */
export class ChildTree {
  /** Left out before it is started, and where its number may meanwhile be another's. */
  group: number | undefined
  readonly #mark: string
  readonly #more: Pick<ProcessTree, 'members' | 'spares'> & { seal?: () => void }
  readonly #force = new AbortController()
  #stopping: Promise<boolean> | undefined

  /** `seal` keeps it from starting others, once the grace is over. */
  constructor(mark: string, more: Pick<ProcessTree, 'members' | 'spares'> & { seal?: () => void } = {}) {
    this.#mark = mark
    this.#more = more
  }

  /** Ends all of it; false where something survives. A second call can only make it quicker. */
  stop(graceMs: number): Promise<boolean> {
    if (graceMs === 0) this.hurry()
    const { members, spares, seal } = this.#more
    const tree = { group: this.group, mark: this.#mark, members, spares }
    this.#stopping ??= endTree(tree, graceMs, this.#force.signal, seal)
    return this.#stopping
  }

  /** There is no grace, or none any more. */
  hurry(): void {
    this.#force.abort()
  }

  /** Ends what its first process, which has ended, has left in its group: nothing outlives that. */
  sweep(): Promise<boolean> | undefined {
    return this.#stopping ?? (this.group === undefined ? undefined : sweepGroup(this.group, SWEEP_GRACE_MS))
  }
}

/**
 * Starts a program whose tree can be ended whole: `mark` (`NAME=value`) is put into its environment. Throws or emits `error` as
 * `spawn` does.
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
 * SIGTERM to the whole tree, the grace (cut short by `force`), SIGKILL until nothing of it is left. Resolves with
 * false where a process survives even that. `beforeKill` is called once the grace is over.
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
 * Ends what a command left behind in its group when it ended: SIGTERM, the grace, SIGKILL. `ours` tells which of the
 * group's processes count. Answers at once, without a promise, where there is nothing.
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

/** SIGTERM to these processes and to none that they have started, the grace, SIGKILL. False where one survives that. */
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
  // In rounds: what is killed may have forked between the look and the signal.
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

/** Whether it holds; false where that cannot be told just now (no descriptors left), so that it is asked again. */
function holds(condition: () => boolean): boolean {
  try {
    return condition()
  } catch {
    return false
  }
}
