import { messageOf } from '../../contract/errors.ts'
import type { FailingService, OutsideServiceName } from '../../contract/hub-api.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import type { Log } from '../../platform/log.ts'

/** A service that the hub uses and somebody else runs. */
export interface OutsideServiceKey {
  service: OutsideServiceName
  /** Host and port, an address or a socket; without credentials. */
  address: string
  /** Tenant whose users have named it; absent if the operator of the hub has. */
  tenant?: string
}

/**
 * Milliseconds after which a failing service is dropped if nobody uses it any more, such as that of a removed place.
 * Each is used at least once an hour.
 */
const FORGOTTEN_MS = 2 * 3_600_000
/** Limits the number of services, because users choose the addresses of their places. */
const MOST = 1_000

/**
 * Records which outside services fail now. Each client in the hub reports how its calls went. A service that works
 * has no entry.
 */
export class OutsideServices {
  readonly #log: Log
  readonly #now: () => number
  readonly #failing = new BoundedMap<string, FailingService & { tenant?: string }>(MOST)

  constructor(log: Log, now: () => number = Date.now) {
    this.#log = log
    this.#now = now
  }

  failed({ service, address, tenant }: OutsideServiceKey, error: unknown): void {
    const key = keyOf({ service, address, tenant })
    const last_at = new Date(this.#now()).toISOString()
    const message = messageOf(error).slice(0, 500)
    this.#forget()
    const before = this.#failing.get(key)
    if (before === undefined)
      this.#log(`The ${nameOf(service)} at ${address} is failing: ${message}`, { level: 'warn' })
    const { since = last_at, times = 0 } = before ?? {}
    // Order by last failure, the latest at the end.
    this.#failing.set(key, { service, address, since, last_at, message, times: times + 1, tenant })
  }

  worked({ service, address, tenant }: OutsideServiceKey): void {
    const key = keyOf({ service, address, tenant })
    const before = this.#failing.get(key)
    if (before === undefined) return
    this.#failing.delete(key)
    this.#log(`The ${nameOf(service)} at ${address} works again. It had been failing since ${before.since}.`)
  }

  /**
   * Lists services that users of the tenant have named and, with `operator`, those of the operator; longest failing
   * first.
   */
  list(tenant: string, operator: boolean): FailingService[] {
    this.#forget()
    return [...this.#failing.values()]
      .filter((one) => (one.tenant === undefined ? operator : one.tenant === tenant))
      .map(({ tenant: _, ...view }) => view)
      .sort((a, b) => a.since.localeCompare(b.since))
  }

  /** Counts the failing services by name. */
  counts(): Map<OutsideServiceName, number> {
    this.#forget()
    const all = Map.groupBy(this.#failing.values(), ({ service }) => service)
    return new Map([...all].map(([service, some]) => [service, some.length]))
  }

  #forget(): void {
    const since = new Date(this.#now() - FORGOTTEN_MS).toISOString()
    for (const [key, { last_at }] of this.#failing) {
      if (last_at >= since) return
      this.#failing.delete(key)
    }
  }
}

const keyOf = ({ service, address, tenant }: OutsideServiceKey): string =>
  JSON.stringify([service, address, tenant ?? null])

const names: Readonly<Partial<Record<OutsideServiceName, string>>> = {
  smtp: 'mail server',
  task_registry: 'task registry',
  docker: 'Docker engine',
  kubernetes: 'Kubernetes API server',
  ntfy: 'ntfy server',
}
const nameOf = (service: OutsideServiceName): string => names[service] ?? service
