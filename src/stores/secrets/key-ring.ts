import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setting } from '../../config/read-setting.ts'
import { ErrandError } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { SecretPlace } from './secret-store.ts'

export interface KeyRingOptions {
  /** Source of ERRAND_SECRETS_KEY and ERRAND_SECRETS_KEY_FILE. */
  env: Readonly<Record<string, string | undefined>>
  /** File of the key if neither is set. */
  file: string
}

export interface Keys {
  /** The first seals new secrets; the others open older ones. */
  all: readonly [SecretKey, ...SecretKey[]]
  /** Their source, for messages. */
  from: string
}

/**
 * Reads the keys of the secrets, which are never in the database. They are read at each use: a key may be restored
 * while the hub runs.
 */
export class KeyRing {
  readonly #options: KeyRingOptions

  constructor(options: KeyRingOptions) {
    this.#options = options
  }

  /** Reports whether somebody has set the key or its place. */
  get isConfigured(): boolean {
    const { env } = this.#options
    return [setting(env, 'ERRAND_SECRETS_KEY'), setting(env, 'ERRAND_SECRETS_KEY_FILE')].some(Boolean)
  }

  /**
   * Returns the keys. Creates the key file when none is named and none exists, if that is allowed. Throws
   * `store_failed`.
   */
  keys(options: { make: boolean }): Keys {
    const { env, file } = this.#options
    const key = setting(env, 'ERRAND_SECRETS_KEY')
    const named = setting(env, 'ERRAND_SECRETS_KEY_FILE')
    if (key) return parse(key, 'ERRAND_SECRETS_KEY')
    const path = named || file
    const from = named ? `${path} (ERRAND_SECRETS_KEY_FILE)` : path
    try {
      return parse(readFileSync(path, 'utf8'), from)
    } catch (error) {
      if (error instanceof ErrandError) throw error
      const { code, message } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT')
        throw new ErrandError('store_failed', `The key of the secrets cannot be read: ${message}.`, {
          hint: 'Make the file readable for the user of the hub.',
          cause: error,
        })
      if (named || !options.make) throw missing(from, named !== undefined)
      const key = randomBytes(KEY_BYTES)
      writeFileAtomic(path, `${key.toString('base64')}\n`, { mode: 0o600 })
      return { all: [secretKey(key)], from }
    }
  }
}

const missing = (from: string, named: boolean): ErrandError =>
  new ErrandError('store_failed', `The key of the secrets is missing: there is no file ${from}.`, {
    hint: named
      ? 'Create one: openssl rand -base64 32 > FILE, readable only for the user of the hub.'
      : 'Restore the file, or set the key in ERRAND_SECRETS_KEY. If it is lost, delete the secrets and set them again.',
  })

/** Parses Base64: one key, or several separated by blanks or commas. Its errors do not quote a key. */
function parse(text: string, from: string): Keys {
  const [first, ...others] = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map((part, index) => {
      const bytes = Buffer.from(part, 'base64')
      if (bytes.length === KEY_BYTES && /^[A-Za-z0-9+/_-]{43}=?$/.test(part)) return secretKey(bytes)
      throw new ErrandError(
        'store_failed',
        `Key ${index + 1} of ${from} is not a valid key for secrets: it must be ${KEY_BYTES} bytes in base64.`,
        { hint: 'Create one with: openssl rand -base64 32' },
      )
    })
  if (first === undefined)
    throw new ErrandError('store_failed', `There is no key in ${from}.`, {
      hint: 'Restore the key. To create a new one: openssl rand -base64 32',
    })
  return { all: [first, ...others], from }
}

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A key with an id that does not reveal it. */
interface SecretKey {
  id: string
  bytes: Uint8Array
}

const secretKey = (bytes: Uint8Array): SecretKey => ({
  id: hash('sha256', Buffer.concat([Buffer.from('errand secrets key '), bytes])).slice(0, 16),
  bytes,
})

/** Seals a value for its place: moved to another place, it does not open. */
export function seal(value: string, { bytes }: SecretKey, place: SecretPlace): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, bytes, nonce, { authTagLength: TAG_BYTES }).setAAD(boundTo(place))
  const text = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), text])
}

/** Opens a sealed value. Throws when it was sealed with another key or for another place. */
export function unseal(sealed: Uint8Array, { bytes }: SecretKey, place: SecretPlace): string {
  const nonce = sealed.subarray(0, NONCE_BYTES)
  const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
  const openAt = (at: SecretPlace) => {
    const decipher = createDecipheriv(CIPHER, bytes, nonce, { authTagLength: TAG_BYTES })
      .setAAD(boundTo(at))
      .setAuthTag(tag)
    const text = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES))
    return Buffer.concat([text, decipher.final()]).toString('utf8')
  }
  try {
    return openAt(place)
  } catch (error) {
    if (place.owner === undefined) throw error
    // Opens a value that was sealed before secrets had owners.
    return openAt({ ...place, owner: undefined })
  }
}

const boundTo = ({ tenant, scope, scope_name, name, owner }: SecretPlace): Buffer =>
  Buffer.from(JSON.stringify([tenant, scope, scope_name, name, ...(owner === undefined ? [] : [owner])]))
