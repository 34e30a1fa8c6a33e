import { messageOf } from '../../contract/errors.ts'
import { isFinalTask } from '../../contract/tasks/task.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { isFollowed } from '../../engine/tasks/following.ts'
import { isRepository, type RepositoryAddress, repositoryAddress } from '../../forge/address.ts'
import type { Forge, Pull } from '../../forge/forge.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import { WakeSignal } from '../../platform/wake-signal.ts'
import { type FollowForge, followPull } from './follow-pull.ts'
import { repositoryOf } from './new-tasks.ts'
import type { LoadedTask, TaskLogs } from './task-logs.ts'

/** Opens the forge of a repository with the token of the task's owner. */
export type ForgeOf = (
  address: RepositoryAddress,
  requester: { tenant: string; owner: string },
  options?: { signal?: AbortSignal },
) => Promise<ReviewForge>

type ReviewForge = Pick<Forge, 'pull' | 'changePull'> & FollowForge

export interface ReviewWatchOptions {
  logs: TaskLogs
  forgeOf: ForgeOf
  /** Called when a task was ended, because others may wait for it, or is to be tried again. */
  changed(): void
  /** First and longest wait between two looks at a pull request, in milliseconds. Default 30 s and 5 min. */
  pollMs?: { first: number; most: number }
  now?: () => number
  log: Log
}

interface Watching {
  done: Promise<void>
  wakeSignal: WakeSignal
  /** Standing of the task at the last look. */
  stood: string
}

/** Shortest time between two looks, in milliseconds, however often a forge calls. */
const LEAST_MS = 1_000

/**
 * Watches the pull requests of tasks in review until each is merged or closed, which ends its task. A followed one
 * gets another try for what its checks and reviewers say. If a pull request is based on the branch of another task,
 * and that one is merged, it changes to the other one's base. All state is in the logs and at the forge, so a
 * restarted hub continues.
 */
export class ReviewWatch {
  readonly #options: ReviewWatchOptions
  readonly #stop = new AbortController()
  /** Watches by task. */
  readonly #watched = new Map<string, Watching>()

  constructor(options: ReviewWatchOptions) {
    this.#options = options
  }

  /** Starts to watch tasks that have come into review, and looks at others whose standing has changed. */
  look(): void {
    if (this.#stop.signal.aborted) return
    for (const task of this.#options.logs.open()) {
      const { id } = task.spec
      const before = this.#watched.get(id)
      if (before !== undefined && before.stood !== standOf(task)) before.wakeSignal.notify()
      if (!isWatched(task) || before !== undefined) continue
      const watching: Watching = { done: Promise.resolve(), wakeSignal: new WakeSignal(), stood: '' }
      this.#watched.set(id, watching)
      watching.done = this.#watch(id, watching).finally(() => {
        this.#watched.delete(id)
        // The task may have come back into review in the meantime.
        this.look()
      })
    }
  }

  /**
   * Looks now at what a forge says has changed: a repository, or one pull request of it. Returns the number of tasks
   * concerned.
   */
  wake({ number, ...repository }: { host: string; path: string; number?: number }): number {
    let woken = 0
    for (const { spec, fold } of this.#options.logs.open()) {
      const watching = this.#watched.get(spec.id)
      if (watching === undefined || (number !== undefined && fold.pull_request?.number !== number)) continue
      if (!isRepository(repositoryOf(spec.task) ?? '', repository)) continue
      watching.wakeSignal.notify()
      woken++
    }
    return woken
  }

  /** Stops watching; may be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.allSettled([...this.#watched.values()].map(({ done }) => done))
  }

  async #watch(id: string, watching: Watching): Promise<void> {
    const { logs, pollMs = { first: 30_000, most: 300_000 }, log, changed } = this.#options
    const { signal } = this.#stop
    const backoff = new Backoff({ firstMs: pollMs.first, maxMs: pollMs.most, jitter: 0.2 })
    const leastMs = Math.min(pollMs.first, LEAST_MS)
    let reported: string | undefined
    while (!signal.aborted) {
      const task = logs.openTask(id)
      if (task === undefined || !isWatched(task)) return
      const status = standOf(task)
      if (watching.stood !== status) backoff.reset()
      watching.stood = status
      try {
        if (await this.#lookAt(task)) changed()
        reported = undefined
      } catch (error) {
        if (signal.aborted) return
        const why = messageOf(error)
        // Log each reason once, not at each look.
        if (reported !== why)
          log(`The pull request of task ${id} cannot be checked; trying again: ${why}`, {
            level: 'warn',
          })
        reported = why
      }
      await watching.wakeSignal.wait(backoff.next(), { leastMs, signal })
    }
  }

  /** Looks at the pull request. Returns true if that changed something. */
  async #lookAt(task: LoadedTask): Promise<boolean> {
    const { spec, fold } = task
    const { signal } = this.#stop
    const { tenant, owner } = spec
    const known = fold.pull_request!
    const address = repositoryAddress(repositoryOf(spec.task)!)
    const forge = await this.#options.forgeOf(address, { tenant, owner }, { signal })
    const pull = await forge.pull(known.number, { signal })
    if (pull.state === 'open') {
      await this.#retarget(task, pull, forge)
      return await this.#follow(task, pull, forge)
    }
    await this.#options.logs.change(spec.id, ({ fold: now }) =>
      !isFinalTask(now.state) && now.pull_request?.number === known.number ? settled(known, pull) : [],
    )
    return true
  }

  async #follow(task: LoadedTask, pull: Pull, forge: FollowForge): Promise<boolean> {
    const { logs, now = Date.now } = this.#options
    const { id } = task.spec
    const events = await followPull(task, { pull, forge, nowMs: now() }, { signal: this.#stop.signal })
    if (events.length === 0) return false
    // If another event came in between, the next look decides again. The check of the log position makes each action
    // happen once.
    const { fold } = await logs.change(id, (is) => (is.fold.seq === task.fold.seq ? events : []))
    return fold.seq > task.fold.seq
  }

  /** Changes the base of the pull request once the branch below it is merged: it becomes the base of that one. */
  async #retarget({ spec }: LoadedTask, pull: Pull, forge: ReviewForge): Promise<void> {
    const { signal } = this.#stop
    for (const id of spec.depends_on) {
      const below = await this.#options.logs.get(id)
      const { pushed, pull_request } = below.fold
      const isMerged = pull_request?.state === 'merged' && below.spec.repo === spec.repo
      if (!isMerged || pushed?.branch !== pull.base) continue
      const { base } = await forge.pull(pull_request!.number, { signal })
      if (base !== pull.base) await forge.changePull(pull.number, { base }, { signal })
    }
  }
}

/**
 * Reports whether the task's pull request is watched: the task is in review, or tried again because of feedback. It
 * may be merged or closed meanwhile.
 */
const isWatched = ({ spec, fold }: LoadedTask): boolean =>
  (fold.state === 'in_review' || (fold.follow.prompt !== undefined && !isFinalTask(fold.state))) &&
  fold.pull_request?.state === 'open' &&
  !spec.elsewhere &&
  repositoryOf(spec.task) !== undefined

/** Returns a text that changes when the task should be looked at soon. */
const standOf = ({ spec, fold }: LoadedTask): string =>
  `${fold.state} ${isFollowed(spec.task, fold.follow)} ${fold.heads.length}`

function settled(known: { url: string; number: number }, pull: Pull): NewTaskEvent[] {
  const isMerged = pull.state === 'merged'
  const state = isMerged ? 'merged' : 'closed'
  return [
    { type: 'task.pull_request', pull_request: { ...known, state, head: pull.headSha } },
    isMerged
      ? { type: 'task.state', state: 'done', message: 'Its pull request was merged.' }
      : {
          type: 'task.state',
          state: 'canceled',
          reason: 'canceled',
          message: 'Its pull request was closed without being merged.',
        },
  ]
}
