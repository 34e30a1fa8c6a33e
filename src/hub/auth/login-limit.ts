import { isIPv6 } from 'node:net'
import { ErrandError } from '../../contract/errors.ts'

export interface LoginLimits {
  /** Failed logins of one account from one address before it must wait. */
  perAccount: number
  /** The same for all accounts from one address. */
  perAddress: number
  /** In this time they are forgotten again, evenly. */
  windowMs: number
  /** How many accounts and addresses are kept in mind. */
  entries: number
}
export const DEFAULT_LOGIN_LIMITS: LoginLimits = {
  perAccount: 10,
  perAddress: 50,
  windowMs: 15 * 60_000,
  entries: 20_000,
}

/** No network's name. */
const FAILED_BEFORE = 'failed before'

/** Two leaky buckets a login: each failure adds one, and time takes them away. */
export class LoginLimit {
  readonly #limits: LoginLimits
  /** Oldest first: what is full and used stays, what is not used falls out. */
  readonly #buckets = new Map<string, { level: number; atMs: number }>()

  constructor(limits: LoginLimits = DEFAULT_LOGIN_LIMITS) {
    this.#limits = limits
  }

  /** In whose name a try waits for its turn: its network's, or, after failures from there, that of all such networks. */
  lineOf(address: string, nowMs: number): string {
    const [, all] = this.#keys('', address)
    return this.#level(all.key, all.limit, nowMs) === 0 ? all.key : FAILED_BEFORE
  }

  /** Throws `rate_limited` where one more failure is too many. */
  check(account: string, address: string, nowMs: number): void {
    for (const { key, limit } of this.#keys(account, address)) {
      const level = this.#level(key, limit, nowMs)
      if (level + 1 <= limit) continue
      const waitMs = ((level + 1 - limit) / limit) * this.#limits.windowMs
      const retry_after_seconds = Math.max(1, Math.ceil(waitMs / 1000))
      throw new ErrandError('rate_limited', 'Too many failed logins from this address.', {
        hint: `Try again in ${retry_after_seconds} s.`,
        details: { retry_after_seconds },
      })
    }
  }

  /**
   * Counts a try as a failure, from just before the password is looked at, so that tries at once count too, until
   * `forgive`. Throws `rate_limited`.
   */
  take(account: string, address: string, nowMs: number): void {
    this.check(account, address, nowMs)
    for (const { key, limit } of this.#keys(account, address))
      this.#set(key, this.#level(key, limit, nowMs) + 1, nowMs)
  }

  /** The password was right: the try does not count, and the account's earlier ones are forgotten. */
  forgive(account: string, address: string, nowMs: number): void {
    const [own, all] = this.#keys(account, address)
    this.#buckets.delete(own.key)
    this.#set(all.key, Math.max(0, this.#level(all.key, all.limit, nowMs) - 1), nowMs)
  }

  get size(): number {
    return this.#buckets.size
  }

  #keys(account: string, address: string) {
    const from = network(address)
    return [
      { key: `${from} ${account.toLowerCase()}`, limit: this.#limits.perAccount },
      { key: from, limit: this.#limits.perAddress },
    ] as const
  }

  #level(key: string, limit: number, nowMs: number): number {
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) return 0
    // Where the machine's clock was set back no time has passed.
    const goneMs = Math.max(0, nowMs - bucket.atMs)
    return Math.max(0, bucket.level - (goneMs / this.#limits.windowMs) * limit)
  }

  #set(key: string, level: number, atMs: number): void {
    this.#buckets.delete(key)
    this.#buckets.set(key, { level, atMs })
    if (this.#buckets.size <= this.#limits.entries) return
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest)
      return
    }
  }
}

/** One machine commonly has a whole /64 of IPv6. */
function network(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address.replace('::ffff:', '')
  const [head = '', tail = ''] = address.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === '' ? [] : tail.split(':')
  const zeros = address.includes('::') ? Array<string>(8 - front.length - back.length).fill('0') : []
  return [...front, ...zeros, ...back].slice(0, 4).join(':')
}
