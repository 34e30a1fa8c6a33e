import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { FairTurns } from '../../platform/fair-turns.ts'

export interface LoginLimits {
  /** Failed logins of one account from one address before it must wait. */
  perAccount: number
  /** The same for all accounts from one address. */
  perAddress: number
  /** After so many failed logins of one account from all addresses it is tried once in so long. Absent: it is not slowed down. */
  everywhere?: { perAccount: number; paceMs: number }
  /** In this time they are forgotten again, evenly. */
  windowMs: number
  /** How many accounts and addresses are kept in mind, and how many that have logged in. */
  entries: number
}
export const DEFAULT_LOGIN_LIMITS: LoginLimits = {
  perAccount: 10,
  perAddress: 50,
  everywhere: { perAccount: 30, paceMs: 1_000 },
  windowMs: 15 * 60_000,
  entries: 20_000,
}

/** Where a try comes from instead of an address: somebody that has shown who it is before. No address begins so. */
export const knownPlace = (id: string): string => `known ${id}`
const isKnownPlace = (address: string): boolean => address.startsWith('known ')

/** No network's name. */
const FAILED_BEFORE = 'failed before'

interface Bucket {
  key: string
  limit: number
}

/** So many tries of an account that is slowed down may be ahead of another one. */
const MOST_AHEAD = 32

/**
 * Leaky buckets: each failure adds one to those of its account and address, and time takes them away. Failures from elsewhere
 * never close an account, they slow it down; and who has logged in from a network is not held up by what others do. A known place
 * (`knownPlace`) has an account's limit alone to itself: strangers at its address do not count there.
 */
export class LoginLimit {
  readonly #limits: LoginLimits
  readonly #wait: (ms: number) => Promise<unknown>
  /** Oldest first: what is full and used stays, what is not used falls out. */
  readonly #buckets = new Map<string, { level: number; atMs: number }>()
  /** Accounts, each with a network that it has logged in from; oldest first. */
  readonly #good = new Set<string>()
  /** Of accounts that are slowed down, while tries wait. */
  readonly #paced = new Map<string, FairTurns>()

  /** `wait`: for tests. */
  constructor(
    limits: LoginLimits = DEFAULT_LOGIN_LIMITS,
    wait: (ms: number) => Promise<unknown> = (ms) => sleep(ms, undefined, { ref: false }),
  ) {
    this.#limits = limits
    this.#wait = wait
  }

  /** In whose name a try waits for its turn: its network's, or, after failures from there, that of all such networks. */
  lineOf(address: string, nowMs: number): string {
    const [, all] = this.#keys('', address)
    if (isKnownPlace(address)) return all.key
    return this.#level(all.key, all.limit, nowMs) === 0 ? all.key : FAILED_BEFORE
  }

  /** Throws `rate_limited` where one more failure is too many. */
  check(account: string, address: string, nowMs: number): void {
    const [own, all] = this.#keys(account, address)
    // Whom others of the same network do not close out.
    for (const { key, limit } of this.#isGood(own, address) ? [own] : [own, all]) {
      const level = this.#level(key, limit, nowMs)
      if (level + 1 <= limit) continue
      const waitMs = ((level + 1 - limit) / limit) * this.#limits.windowMs
      throw limited('Too many failed logins from this address.', waitMs)
    }
  }

  /**
   * Resolves when the account may be tried: at once, or, after many failures from anywhere, with one try after the other, where
   * networks that have failed wait in one line and each other network in its own. Throws `rate_limited` where too many wait.
   */
  async pace(account: string, address: string, nowMs: number): Promise<void> {
    const [own, , everywhere] = this.#keys(account, address)
    if (everywhere === undefined || this.#isGood(own, address)) return
    const { key, limit, paceMs } = everywhere
    if (this.#level(key, limit, nowMs) < limit) return
    const turns = this.#paced.get(key) ?? new FairTurns(1)
    const line = this.lineOf(address, nowMs)
    const ahead = turns.ahead(line)
    if (ahead >= MOST_AHEAD) throw limited('Too many logins of this user at once.', ahead * paceMs)
    this.#paced.set(key, turns)
    const turn = await turns.take(line)
    void this.#wait(paceMs).finally(() => {
      turn[Symbol.dispose]()
      if (turns.ahead('') === 0) this.#paced.delete(key)
    })
  }

  /**
   * Counts a try as a failure, from just before the password is looked at, so that tries at once count too, until
   * `forgive`. Throws `rate_limited`.
   */
  take(account: string, address: string, nowMs: number): void {
    this.check(account, address, nowMs)
    for (const { key, limit } of this.#keys(account, address).filter((bucket) => bucket !== undefined))
      this.#set(key, Math.min(2 * limit, this.#level(key, limit, nowMs) + 1), nowMs)
  }

  /** The password was right: the try does not count, and the account's earlier ones from there are forgotten. */
  forgive(account: string, address: string, nowMs: number): void {
    const [own, ...others] = this.#keys(account, address)
    this.#buckets.delete(own.key)
    for (const { key, limit } of others.filter((bucket) => bucket !== undefined))
      this.#set(key, Math.max(0, this.#level(key, limit, nowMs) - 1), nowMs)
    if (isKnownPlace(address)) return
    this.#good.delete(own.key)
    this.#good.add(own.key)
    dropOldest(this.#good, this.#limits.entries)
  }

  get size(): number {
    return this.#buckets.size + this.#good.size + this.#paced.size
  }

  #keys(account: string, address: string): [Bucket, Bucket, (Bucket & { paceMs: number })?] {
    const from = network(address)
    const name = account.toLowerCase()
    const { perAccount, perAddress, everywhere } = this.#limits
    const own = { key: `${from} ${name}`, limit: perAccount }
    const all = { key: from, limit: perAddress }
    if (everywhere === undefined) return [own, all]
    const { perAccount: limit, paceMs } = everywhere
    return [own, all, { key: `everywhere ${name}`, limit, paceMs }]
  }

  #isGood(own: Bucket, address: string): boolean {
    return isKnownPlace(address) || this.#good.has(own.key)
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
    dropOldest(this.#buckets, this.#limits.entries)
  }
}

function dropOldest(kept: Map<string, unknown> | Set<string>, most: number): void {
  if (kept.size <= most) return
  for (const oldest of kept.keys()) {
    kept.delete(oldest)
    return
  }
}

function limited(message: string, waitMs: number): ErrandError {
  const retry_after_seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return new ErrandError('rate_limited', message, {
    hint: `Try again in ${retry_after_seconds} s.`,
    details: { retry_after_seconds },
  })
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
