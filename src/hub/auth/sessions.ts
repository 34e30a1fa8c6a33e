import { hash } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import { ErrandError } from '../../contract/errors.ts'
import type { AccountStore, Session, User } from '../../stores/accounts.ts'
import { newId, tokenSha256 } from './tokens.ts'

/** Milliseconds that a login lasts. */
export const SESSION_MS = 12 * 60 * 60 * 1000

/** Returns a value that changes with the password, so that a reset ends earlier sessions. */
const generation = (user: User): string => hash('sha256', user.password_hash, 'base64url').slice(0, 16)

/**
 * Issues and checks sessions. Each is a JWT that is looked up by the hash of its id. It ends with a logout, and when
 * its user is deleted, disabled or gets a new password. The store has neither the id nor the signing secret, so a
 * copy of the store opens no session.
 */
export class Sessions {
  readonly #key: Uint8Array
  readonly #accounts: AccountStore
  readonly #now: () => number

  constructor(options: { secret: string; accounts: AccountStore; now: () => number }) {
    this.#key = new TextEncoder().encode(options.secret)
    this.#accounts = options.accounts
    this.#now = options.now
  }

  async issue(user: User): Promise<{ token: string; expires_at: string; session: Session }> {
    const issuedSeconds = Math.floor(this.#now() / 1000)
    const expiresSeconds = issuedSeconds + SESSION_MS / 1000
    const jti = newId('session')
    const expires_at = new Date(expiresSeconds * 1000).toISOString()
    const created_at = new Date(issuedSeconds * 1000).toISOString()
    const session = { id: tokenSha256(jti), user_id: user.id, created_at, expires_at }
    await this.#accounts.createSession(session)
    const token = await new SignJWT({
      name: user.name,
      role: user.role,
      tenant: user.tenant,
      gen: generation(user),
    })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('errand')
      .setSubject(user.id)
      .setJti(jti)
      .setIssuedAt(issuedSeconds)
      .setExpirationTime(expiresSeconds)
      .sign(this.#key)
    return { token, expires_at, session }
  }

  /** Returns the session with its current user. Throws `token_expired` or `unauthorized`, with the reason. */
  async open(token: string): Promise<{ user: User; session: Session }> {
    const { payload } = await jwtVerify(token, this.#key, {
      algorithms: ['HS256'],
      issuer: 'errand',
      requiredClaims: ['sub', 'exp', 'gen', 'jti'],
      currentDate: new Date(this.#now()),
    }).catch((cause) => {
      throw cause instanceof errors.JWTExpired
        ? new ErrandError('token_expired', 'This session has expired.', { hint: LOG_IN, cause })
        : refuse('This hub does not know this token.', cause)
    })
    const found = await this.#accounts.session(tokenSha256(payload.jti!))
    if (found === undefined && (await this.#accounts.user(payload.sub!)) === undefined)
      throw refuse('The user of this session was deleted.')
    if (found === undefined) throw refuse('This session has ended because its user logged out.')
    const { user, session } = found
    if (user.disabled) throw refuse(`The user "${user.name}" is disabled.`, undefined, 'Ask an admin.')
    if (payload.gen !== generation(user)) throw refuse('The password has changed since this login.')
    return { user, session }
  }

  end({ id }: Session): Promise<boolean> {
    return this.#accounts.deleteSession(id)
  }

  endAll({ user_id }: Session): Promise<void> {
    return this.#accounts.deleteSessionsOf(user_id)
  }
}

const LOG_IN = 'Log in again: errand login'

function refuse(message: string, cause?: unknown, hint = LOG_IN): ErrandError {
  return new ErrandError('unauthorized', message, { hint, cause })
}
