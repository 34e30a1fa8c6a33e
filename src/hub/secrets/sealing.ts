import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'
import type { SecretPlace } from '../store/secrets.ts'

const CIPHER = 'aes-256-gcm'
export const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A key, and what tells it from others without telling it. */
export interface SecretKey {
  id: string
  bytes: Uint8Array
}

export const secretKey = (bytes: Uint8Array): SecretKey => ({
  id: hash('sha256', Buffer.concat([Buffer.from('errand secrets key '), bytes])).slice(0, 16),
  bytes,
})

/** Bound to its place: moved to another one, it does not open. */
export function seal(value: string, { bytes }: SecretKey, place: SecretPlace): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, bytes, nonce, { authTagLength: TAG_BYTES }).setAAD(boundTo(place))
  const text = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), text])
}

/** Throws where it was not sealed so. */
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
    // One that was sealed before secrets had owners.
    return openAt({ ...place, owner: undefined })
  }
}

const boundTo = ({ tenant, scope, scope_name, name, owner }: SecretPlace): Buffer =>
  Buffer.from(JSON.stringify([tenant, scope, scope_name, name, ...(owner === undefined ? [] : [owner])]))
