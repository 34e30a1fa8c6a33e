import type { WatchedRepository } from '../../config/config-file.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Task } from '../../contract/tasks/task.ts'
import { isRepository, repositoryAddress } from '../../forge/address.ts'
import type { IssueCursor } from '../../forge/forge.ts'
import { Doorbell } from '../../platform/doorbell.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { ForgeOf, ForgeUser } from './open-forges.ts'
import { takeIssues, watchKey } from './watch-issues.ts'

export interface IssueWatcherOptions {
  /** As the configuration has them now. */
  watched(): readonly WatchedRepository[]
  forgeOf: ForgeOf
  tasks: {
    has(user: ForgeUser, name: { spec_name: string; task_id: string }): Promise<boolean>
    /** Throws `task_exists` where somebody was quicker. */
    create(user: ForgeUser, task: Task): Promise<unknown>
  }
  accounts: Pick<AccountStore, 'userByName' | 'setting' | 'setSetting'>
  log: Log
}

/** However often a forge calls, there is so much between two looks. */
const LEAST_MS = 1_000

/** The longest wait after a forge did not answer. */
const MAX_WAIT_MS = 15 * 60_000

/**
 * Looks again and again at the repositories that are watched, each in a loop of its own, and makes tasks of their labelled issues.
 * A forge that does not answer is asked ever more rarely; nothing is passed over meanwhile.
 */
export class IssueWatcher {
  readonly #options: IssueWatcherOptions
  /** By all that the configuration says of it. */
  readonly #loops = new Map<
    string,
    { url: string; stop: AbortController; bell: Doorbell; done: Promise<void> }
  >()
  #isClosed = false

  constructor(options: IssueWatcherOptions) {
    this.#options = options
  }

  /** Begins what is watched newly, and ends what no longer is. */
  look(): void {
    if (this.#isClosed) return
    const watched = new Map(this.#options.watched().map((each) => [JSON.stringify(each), each]))
    for (const [key, { stop }] of this.#loops) if (!watched.has(key)) stop.abort()
    for (const [key, each] of watched) {
      const before = this.#loops.get(key)
      if (before !== undefined && !before.stop.signal.aborted) continue
      const stop = new AbortController()
      const bell = new Doorbell()
      const done = (before?.done ?? Promise.resolve()).then(() => this.#loop(each, bell, stop.signal))
      this.#loops.set(key, { url: each.url, stop, bell, done })
    }
  }

  /** A forge says that something has happened in a repository: looks now. Answers at how many. */
  wake(repository: { host: string; path: string }): number {
    let woken = 0
    for (const { url, stop, bell } of this.#loops.values()) {
      if (stop.signal.aborted || !isRepository(url, repository)) continue
      bell.ring()
      woken++
    }
    return woken
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { stop } of this.#loops.values()) stop.abort()
    await Promise.all([...this.#loops.values()].map(({ done }) => done))
  }

  async #loop(watched: WatchedRepository, bell: Doorbell, signal: AbortSignal): Promise<void> {
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
        this.#options.log(`The issues of ${watched.url} are looked at later: ${messageOf(error)}`, {
          level: 'warn',
        })
      }
      await bell.wait(waitMs, { leastMs: Math.min(waitMs, LEAST_MS), signal })
    }
  }

  async #take({ url, label, owner, task }: WatchedRepository, signal: AbortSignal): Promise<void> {
    const { accounts, forgeOf, tasks, log } = this.#options
    const user = await accounts.userByName({ tenant: DEFAULT_TENANT, name: owner })
    if (user === undefined || user.disabled)
      throw new ErrandError('invalid_argument', `There is no user "${owner}", whose tasks they are to be.`)
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
            const kept = await accounts.setting(setting)
            return kept === undefined ? undefined : (JSON.parse(kept) as IssueCursor)
          },
          set: (_, cursor) => accounts.setSetting(setting, JSON.stringify(cursor)),
        },
        log,
      },
      { signal },
    )
  }
}
