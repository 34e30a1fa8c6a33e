import { messageOf } from '../../contract/errors.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { type RepositoryAddress, repositoryAddress } from '../../forge/address.ts'
import type { Forge, Pull } from '../../forge/forge.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import { repositoryOf } from './new-tasks.ts'
import type { LoadedTask, TaskLogs } from './task-logs.ts'

/** Opens the forge of a repository with the token of who asks. */
export type ForgeOf = (
  address: RepositoryAddress,
  asker: { tenant: string; owner: string },
  options?: { signal?: AbortSignal },
) => Promise<Pick<Forge, 'pull' | 'changePull'>>

export interface ReviewWatchOptions {
  logs: TaskLogs
  forgeOf: ForgeOf
  /** Called when a task was ended, as others may wait for it. */
  ended(): void
  /** Between two looks at a pull request: the first wait, and the longest one that it grows to. Default 30 s and 5 min. */
  pollMs?: { first: number; most: number }
  log: Log
}

/**
 * Looks at the pull requests of tasks in review until each is merged or closed, which ends its task. A pull request that stands on
 * the branch of another task goes over to that one's base when it is merged. What is known stands in the logs and at the forge alone,
 * so that a restarted hub goes on.
 */
export class ReviewWatch {
  readonly #options: ReviewWatchOptions
  readonly #stop = new AbortController()
  /** By task. */
  readonly #watched = new Map<string, Promise<void>>()

  constructor(options: ReviewWatchOptions) {
    this.#options = options
  }

  /** Something has changed: begins with those that have come into review. */
  look(): void {
    if (this.#stop.signal.aborted) return
    for (const { spec, fold } of this.#options.logs.open()) {
      if (!isWatched({ spec, fold }) || this.#watched.has(spec.id)) continue
      const watching = this.#watch(spec.id).finally(() => this.#watched.delete(spec.id))
      this.#watched.set(spec.id, watching)
    }
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.allSettled(this.#watched.values())
  }

  async #watch(id: string): Promise<void> {
    const { logs, pollMs = { first: 30_000, most: 300_000 }, log, ended } = this.#options
    const { signal } = this.#stop
    const backoff = new Backoff({ firstMs: pollMs.first, maxMs: pollMs.most, jitter: 0.2 })
    let told: string | undefined
    while (!signal.aborted) {
      const task = logs.openTask(id)
      if (task === undefined || !isWatched(task)) return
      try {
        if (await this.#lookAt(task)) return ended()
        told = undefined
      } catch (error) {
        if (signal.aborted) return
        const why = messageOf(error)
        // Once for each reason, and not each time.
        if (told !== why)
          log(`The pull request of task ${id} cannot be looked at; it is tried again: ${why}`, {
            level: 'warn',
          })
        told = why
      }
      await waited(backoff.next(), signal)
    }
  }

  /** True: it is settled. */
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
      return false
    }
    await this.#options.logs.change(spec.id, ({ fold: now }) =>
      now.state === 'in_review' && now.pull_request?.number === known.number ? settled(known, pull) : [],
    )
    return true
  }

  /** The branch that it stands on is merged: what it would be merged into is the base of that one. */
  async #retarget(
    { spec }: LoadedTask,
    pull: Pull,
    forge: Pick<Forge, 'pull' | 'changePull'>,
  ): Promise<void> {
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

const isWatched = ({ spec, fold }: LoadedTask): boolean =>
  fold.state === 'in_review' &&
  fold.pull_request?.state === 'open' &&
  !spec.elsewhere &&
  repositoryOf(spec.task) !== undefined

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

/** A wait that ends at once when nobody looks any more. */
function waited(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}
