import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { FairSemaphore } from '../../platform/fair-semaphore.ts'

export interface LoginLimits {
  /** Limits failed logins of one account from one address before it must wait. */
  perAccount: number
  /** Limits failed logins of all accounts from one address. */
  perAddress: number
  /**
   * Slows an account down after `perAccount` failed logins from all addresses: one try per `paceMs`. Absent for no
   * slowdown.
   */
  everywhere?: { perAccount: number; paceMs: number }
  /** Milliseconds in which failures are forgotten again, evenly. */
  windowMs: number
  /** Limits how many accounts and addresses are remembered, and how many that have logged in. */
  entries: number
}
export const DEFAULT_LOGIN_LIMITS: LoginLimits = {
  perAccount: 10,
  perAddress: 50,
  everywhere: { perAccount: 30, paceMs: 1_000 },
  windowMs: 15 * 60_000,
  entries: 20_000,
}

/** Returns the place of a try by somebody already known, used instead of an address. No address begins like it. */
export const knownPlace = (id: string): string => `known ${id}`
const isKnownPlace = (address: string): boolean => address.startsWith('known ')

/** Name of a line that no network has. */
const FAILED_BEFORE = 'failed before'

interface Bucket {
  key: string
  limit: number
}

/** Limits the tries of a slowed-down account that may be ahead of another. */
const MOST_AHEAD = 32

/**
 * Limits failed logins with leaky buckets: each failure adds one to the buckets of its account and address, and they
 * drain over time. Failures from elsewhere never lock an account, they only slow it down. A network from which the
 * account has logged in is not held up by others. A known place (`knownPlace`) has an account's limit to itself, and
 * failures of strangers at its address do not count there.
 */
export class LoginLimit {
  readonly #limits: LoginLimits
  readonly #wait: (ms: number) => Promise<unknown>
  /** Buckets, oldest first: one in use stays, and unused ones drop out. */
  readonly #buckets = new Map<string, { level: number; atMs: number }>()
  /** Accounts, each with a network that it has logged in from; oldest first. */
  readonly #good = new Set<string>()
  /** Waiting tries of accounts that are slowed down. */
  readonly #paced = new Map<string, FairSemaphore>()

  /** `wait` is replaced in tests. */
  constructor(
    limits: LoginLimits = DEFAULT_LOGIN_LIMITS,
    wait: (ms: number) => Promise<unknown> = (ms) => sleep(ms, undefined, { ref: false }),
  ) {
    this.#limits = limits
    this.#wait = wait
  }

  /** Returns the line in which a try waits: that of its network, or a shared one for all networks with failures. */
  lineOf(address: string, nowMs: number): string {
    const [, all] = this.#keys('', address)
    if (isKnownPlace(address)) return all.key
    return this.#level(all.key, all.limit, nowMs) === 0 ? all.key : FAILED_BEFORE
  }

  /** Throws `rate_limited` if one more failure is too many. */
  check(account: string, address: string, nowMs: number): void {
    const [own, all] = this.#keys(account, address)
    // A network the account has logged in from is not locked out by others in it.
    for (const { key, limit } of this.#isGood(own, address) ? [own] : [own, all]) {
      const level = this.#level(key, limit, nowMs)
      if (level + 1 <= limit) continue
      const waitMs = ((level + 1 - limit) / limit) * this.#limits.windowMs
      throw limited('Too many failed logins from this address.', waitMs)
    }
  }

  /**
   * Resolves when the account may be tried. That is at once, unless there were many failures. Then tries run one
   * after another: networks with failures share one line, and each other network has its own. Throws `rate_limited`
   * if too many wait.
   */
  async pace(account: string, address: string, nowMs: number): Promise<void> {
    const [own, , everywhere] = this.#keys(account, address)
    if (everywhere === undefined || this.#isGood(own, address)) return
    const { key, limit, paceMs } = everywhere
    if (this.#level(key, limit, nowMs) < limit) return
    const semaphore = this.#paced.get(key) ?? new FairSemaphore(1)
    const line = this.lineOf(address, nowMs)
    const ahead = semaphore.ahead(line)
    if (ahead >= MOST_AHEAD) throw limited('Too many simultaneous logins for this user.', ahead * paceMs)
    this.#paced.set(key, semaphore)
    const turn = await semaphore.acquire(line)
    void this.#wait(paceMs).finally(() => {
      turn[Symbol.dispose]()
      if (semaphore.ahead('') === 0) this.#paced.delete(key)
    })
  }

  /**
   * Counts a try as a failure until `forgive`. Call it just before the password is checked, so that concurrent tries
   * count too. Throws `rate_limited`.
   */
  take(account: string, address: string, nowMs: number): void {
    this.check(account, address, nowMs)
    for (const { key, limit } of this.#keys(account, address).filter((bucket) => bucket !== undefined))
      this.#set(key, Math.min(2 * limit, this.#level(key, limit, nowMs) + 1), nowMs)
  }

  /** Forgets the try and the account's earlier failures from there, after the password was correct. */
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
    // If the machine's clock was set back, no time has passed.
    const goneMs = Math.max(0, nowMs - bucket.atMs)
    return Math.max(0, bucket.level - (goneMs / this.#limits.windowMs) * limit)
  }

  #set(key: string, level: number, atMs: number): void {
    this.#buckets.delete(key)
    this.#buckets.set(key, { level, atMs })
    dropOldest(this.#buckets, this.#limits.entries)
  }
}

function dropOldest(entries: Map<string, unknown> | Set<string>, most: number): void {
  if (entries.size <= most) return
  for (const oldest of entries.keys()) {
    entries.delete(oldest)
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

/** Returns the network of an address. One machine commonly has a whole /64 of IPv6. */
function network(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address.replace('::ffff:', '')
  const [head = '', tail = ''] = address.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === '' ? [] : tail.split(':')
  const zeros = address.includes('::') ? Array<string>(8 - front.length - back.length).fill('0') : []
  return [...front, ...zeros, ...back].slice(0, 4).join(':')
}
