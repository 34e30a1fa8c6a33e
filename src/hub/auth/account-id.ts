import { randomBytes } from 'node:crypto'

/** An id for a user, a token or a session. */
export const newId = (prefix: 'user' | 'token' | 'session'): string =>
  `${prefix}_${randomBytes(12).toString('base64url')}`
