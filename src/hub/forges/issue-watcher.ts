import type { WatchedRepository } from '../../config/config-file.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Task } from '../../contract/tasks/task.ts'
import { isRepository, repositoryAddress } from '../../forge/address.ts'
import type { IssueCursor } from '../../forge/forge.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import { WakeSignal } from '../../platform/wake-signal.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { ForgeOf, ForgeUser } from './open-forges.ts'
import { takeIssues, watchKey } from './watch-issues.ts'

export interface IssueWatcherOptions {
  /** Returns the watched repositories of the current configuration. */
  watched(): readonly WatchedRepository[]
  forgeOf: ForgeOf
  tasks: {
    has(user: ForgeUser, name: { spec_name: string; task_id: string }): Promise<boolean>
    /** Creates a task. Throws `task_exists` if another request was faster. */
    create(user: ForgeUser, task: Task): Promise<unknown>
  }
  accounts: Pick<AccountStore, 'userByName' | 'setting' | 'setSetting'>
  log: Log
}

/** Shortest time between two looks, in milliseconds, however often a forge calls. */
const LEAST_MS = 1_000

/** Longest wait after a forge did not answer, in milliseconds. */
const MAX_WAIT_MS = 15 * 60_000

/**
 * Polls the watched repositories, each in its own loop, and makes tasks from their labelled issues. A forge that does
 * not answer is asked less and less often; no issue is missed because of that.
 */
export class IssueWatcher {
  readonly #options: IssueWatcherOptions
  /** Loops by everything that the configuration says about the repository. */
  readonly #loops = new Map<
    string,
    { url: string; stop: AbortController; wakeSignal: WakeSignal; done: Promise<void> }
  >()
  #isClosed = false

  constructor(options: IssueWatcherOptions) {
    this.#options = options
  }

  /** Starts to watch new repositories, and stops for those that are no longer watched. */
  look(): void {
    if (this.#isClosed) return
    const watched = new Map(this.#options.watched().map((each) => [JSON.stringify(each), each]))
    for (const [key, { stop }] of this.#loops) if (!watched.has(key)) stop.abort()
    for (const [key, each] of watched) {
      const before = this.#loops.get(key)
      if (before !== undefined && !before.stop.signal.aborted) continue
      const stop = new AbortController()
      const wakeSignal = new WakeSignal()
      const done = (before?.done ?? Promise.resolve()).then(() => this.#loop(each, wakeSignal, stop.signal))
      this.#loops.set(key, { url: each.url, stop, wakeSignal, done })
    }
  }

  /**
   * Looks now at a repository in which a forge says something has happened. Returns the number of watches concerned.
   */
  wake(repository: { host: string; path: string }): number {
    let woken = 0
    for (const { url, stop, wakeSignal } of this.#loops.values()) {
      if (stop.signal.aborted || !isRepository(url, repository)) continue
      wakeSignal.notify()
      woken++
    }
    return woken
  }

  /** Stops watching; may be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { stop } of this.#loops.values()) stop.abort()
    await Promise.all([...this.#loops.values()].map(({ done }) => done))
  }

  async #loop(watched: WatchedRepository, wakeSignal: WakeSignal, signal: AbortSignal): Promise<void> {
    const everyMs = watched.every_seconds * 1000
    const backoff = new Backoff({ firstMs: everyMs, maxMs: Math.max(everyMs, MAX_WAIT_MS) })
    while (!signal.aborted) {
      let waitMs = everyMs
      try {
        await this.#take(watched, signal)
        backoff.reset()
      } catch (error) {
        if (signal.aborted) return
        waitMs = backoff.next()
        this.#options.log(`The issues of ${watched.url} cannot be read; trying again: ${messageOf(error)}`, {
          level: 'warn',
        })
      }
      await wakeSignal.wait(waitMs, { leastMs: Math.min(waitMs, LEAST_MS), signal })
    }
  }

  async #take({ url, label, owner, task }: WatchedRepository, signal: AbortSignal): Promise<void> {
    const { accounts, forgeOf, tasks, log } = this.#options
    const user = await accounts.userByName({ tenant: DEFAULT_TENANT, name: owner })
    if (user === undefined || user.disabled)
      throw new ErrandError(
        'invalid_argument',
        `The user "${owner}", who is to own the tasks, does not exist or is disabled.`,
      )
    const of = { tenant: user.tenant, owner: user.name }
    const address = repositoryAddress(url)
    const watch = { address, label, defaults: task }
    const forge = await forgeOf(address, of, { signal })
    const setting = `issues of ${watchKey(watch)}`
    await takeIssues(
      forge,
      watch,
      {
        tasks: {
          has: (name) => tasks.has(of, name),
          async create(made) {
            try {
              await tasks.create(of, made)
            } catch (error) {
              if (!(error instanceof ErrandError && error.code === 'task_exists')) throw error
            }
          },
        },
        cursors: {
          async get() {
            const stored = await accounts.setting(setting)
            return stored === undefined ? undefined : (JSON.parse(stored) as IssueCursor)
          },
          set: (_, cursor) => accounts.setSetting(setting, JSON.stringify(cursor)),
        },
        log,
      },
      { signal },
    )
  }
}
