import { randomBytes } from 'node:crypto'

/** An id for a user or a token. */
export const newId = (prefix: 'user' | 'token'): string =>
  `${prefix}_${randomBytes(12).toString('base64url')}`
