import { unlessAborted } from '../../../platform/races.ts'
import type { Identity } from '../../auth/auth.ts'
import type { PoolsFace, RunnersFace } from '../api-context.ts'
import { isAdmin } from '../http/access.ts'
import { waitsOf } from '../runner-groups.ts'
import { listedRunners } from '../runners.ts'

/**
 * The answers of `GET /api/runners` and `GET /api/runner-waits` as JSON, and what shows that the pools have changed.
 */
interface RunnerTexts {
  runners: string
  waits: string
  /** Groups with provisioned runners; empty if there are none. */
  pools: string
}

/** Serves the lists of runners. A change causes one read for all who follow them, and nothing is stored per reader. */
export class RunnerLists {
  readonly #runners: RunnersFace
  readonly #pools: PoolsFace | undefined
  readonly #lists = new Map<string, Promise<RunnerTexts>>()
  #rung = 0
  #waiting = Promise.withResolvers<void>()

  constructor(runners: RunnersFace, pools?: PoolsFace) {
    this.#runners = runners
    this.#pools = pools
    runners.onChanged?.(() => this.#ring())
    pools?.onChanged(() => this.#ring())
  }

  #ring(): void {
    this.#rung++
    this.#lists.clear()
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers()
  }

  /** A number that grows with each change. */
  get rung(): number {
    return this.#rung
  }

  /** Returns the current lists as this person sees them. All admins of a tenant see the same. */
  of(identity: Identity): Promise<RunnerTexts> {
    const { tenant, name } = identity.user
    const key = JSON.stringify(isAdmin(identity) ? [tenant] : [tenant, name])
    const known = this.#lists.get(key)
    if (known !== undefined) return known
    const list = this.#read(identity)
    this.#lists.set(key, list)
    list.catch(() => this.#lists.delete(key))
    return list
  }

  async #read(identity: Identity): Promise<RunnerTexts> {
    const waits = waitsOf(this.#runners.waiting?.(identity.user.tenant) ?? [], identity)
    const pools = this.#pools?.list(identity.user.tenant) ?? []
    return {
      runners: JSON.stringify(await listedRunners(this.#runners, identity)),
      waits: JSON.stringify({ waits }),
      pools: pools.length === 0 ? '' : JSON.stringify(pools),
    }
  }

  /** Resolves when something has changed after `since`, or when the signal aborts. */
  async more(since: number, signal: AbortSignal): Promise<void> {
    if (since < this.#rung || signal.aborted) return
    await unlessAborted(signal, this.#waiting.promise, () => undefined)
  }
}
