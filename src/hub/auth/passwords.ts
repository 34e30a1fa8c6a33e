import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { ErrandError } from '../../contract/errors.ts'

/**
 * Hashes as `scrypt$N$r$p$salt$hash` (base64url). 16 MiB of memory a hash; OWASP names these costs as equal to
 * its first choice, which would take 128 MiB.
 */
const COST = { N: 16_384, r: 8, p: 5 }
const KEY_BYTES = 32
const MAX_MEMORY_BYTES = 256 * 1024 * 1024
/** Same costs as a real one: a login of an unknown user takes as long as one with a wrong password. */
const NOBODY = `scrypt$${COST.N}$${COST.r}$${COST.p}$${'A'.repeat(22)}$${'A'.repeat(43)}`

/** Two at once: they share libuv's four threads with every file operation of the hub. */
const AT_ONCE = 2
const MOST_WAITING = 64

export class Passwords {
  #running = 0
  readonly #waiting: (() => void)[] = []

  async hash(password: string): Promise<string> {
    const salt = randomBytes(16)
    const key = await this.#derive(password, salt, KEY_BYTES, COST)
    return `scrypt$${COST.N}$${COST.r}$${COST.p}$${salt.toString('base64url')}$${key.toString('base64url')}`
  }

  /** Without a hash it takes as long and answers false. `begin` is called when its turn has come; what it throws ends it. */
  async verify(password: string, hash: string | undefined, begin?: () => void): Promise<boolean> {
    const [kind, N, r, p, salt, key] = (hash ?? NOBODY).split('$')
    if (kind !== 'scrypt' || salt === undefined || key === undefined) return false
    const expected = Buffer.from(key, 'base64url')
    const cost = { N: Number(N), r: Number(r), p: Number(p) }
    const actual = await this.#derive(password, Buffer.from(salt, 'base64url'), expected.length, cost, begin)
    return timingSafeEqual(actual, expected) && hash !== undefined
  }

  async #derive(
    password: string,
    salt: Buffer,
    bytes: number,
    cost: ScryptOptions,
    begin?: () => void,
  ): Promise<Buffer> {
    if (this.#running >= AT_ONCE) {
      if (this.#waiting.length >= MOST_WAITING)
        throw new ErrandError('rate_limited', 'Too many logins at once.', {
          hint: 'Try again in some seconds.',
        })
      await new Promise<void>((go) => this.#waiting.push(go))
    } else this.#running++
    try {
      begin?.()
      return await new Promise<Buffer>((resolve, reject) =>
        scrypt(
          password.normalize('NFKC'),
          salt,
          bytes,
          { ...cost, maxmem: MAX_MEMORY_BYTES },
          (error, key) => (error === null ? resolve(key) : reject(error)),
        ),
      )
    } finally {
      // The place is handed on, not freed, so that nobody can come in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
