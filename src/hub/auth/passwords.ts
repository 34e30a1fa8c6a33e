import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { ErrandError } from '../../contract/errors.ts'
import { FairSemaphore } from '../../platform/fair-semaphore.ts'

/**
 * Cost of a hash, which is stored as `scrypt$N$r$p$salt$hash` (base64url) and takes 16 MiB of memory. OWASP rates
 * these costs as equal to its first choice, which would take 128 MiB.
 */
const COST = { N: 16_384, r: 8, p: 5 }
const KEY_BYTES = 32
const MAX_MEMORY_BYTES = 256 * 1024 * 1024
/** A hash with real costs, so that a login of an unknown user takes as long as one with a wrong password. */
const NOBODY = `scrypt$${COST.N}$${COST.r}$${COST.p}$${'A'.repeat(22)}$${'A'.repeat(43)}`

/**
 * Limits concurrent hashes: they share libuv's four threads with all file operations of the hub, and its cores with
 * everything.
 */
const AT_ONCE = Math.max(1, Math.min(2, availableParallelism() - 1))
/** Limits the waiting hashes to some seconds of work. Whoever would wait longer is refused at once. */
const MOST_AHEAD = 32

export class Passwords {
  readonly #semaphore = new FairSemaphore(AT_ONCE)
  #lastMs = 250

  async hash(password: string): Promise<string> {
    const salt = randomBytes(16)
    const key = await this.#derive('', password, salt, KEY_BYTES, COST)
    return `scrypt$${COST.N}$${COST.r}$${COST.p}$${salt.toString('base64url')}$${key.toString('base64url')}`
  }

  /**
   * Verifies a password. Without a hash it takes as long and returns false. `from` names the caller; callers take
   * turns. `begin` is called when the turn has come, and ends it if it throws. Throws `rate_limited` before that.
   */
  async verify(
    password: string,
    hash: string | undefined,
    { from = '', begin }: { from?: string; begin?: () => void } = {},
  ): Promise<boolean> {
    const [kind, N, r, p, salt, key] = (hash ?? NOBODY).split('$')
    if (kind !== 'scrypt' || salt === undefined || key === undefined) return false
    const expected = Buffer.from(key, 'base64url')
    const cost = { N: Number(N), r: Number(r), p: Number(p) }
    const actual = await this.#derive(
      from,
      password,
      Buffer.from(salt, 'base64url'),
      expected.length,
      cost,
      begin,
    )
    return timingSafeEqual(actual, expected) && hash !== undefined
  }

  async #derive(
    from: string,
    password: string,
    salt: Buffer,
    bytes: number,
    cost: ScryptOptions,
    begin?: () => void,
  ): Promise<Buffer> {
    const ahead = this.#semaphore.ahead(from)
    if (ahead >= MOST_AHEAD) {
      const retry_after_seconds = Math.ceil((ahead * this.#lastMs) / AT_ONCE / 1000)
      throw new ErrandError('rate_limited', 'Too many simultaneous logins.', {
        hint: `Try again in ${retry_after_seconds} s.`,
        details: { retry_after_seconds },
      })
    }
    using _turn = await this.#semaphore.acquire(from)
    begin?.()
    const begunMs = performance.now()
    const key = await new Promise<Buffer>((resolve, reject) =>
      scrypt(
        password.normalize('NFKC'),
        salt,
        bytes,
        { ...cost, maxmem: MAX_MEMORY_BYTES },
        (error, derived) => (error === null ? resolve(derived) : reject(error)),
      ),
    )
    this.#lastMs = performance.now() - begunMs
    return key
  }
}
