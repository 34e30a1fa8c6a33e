import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { ChangePassword, LoginRequest } from '../../contract/account-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { AccountStore, Session, Token, User } from '../../stores/accounts.ts'
import { DEFAULT_LOGIN_LIMITS, knownPlace, LoginLimit, type LoginLimits } from './login-limit.ts'
import { Passwords } from './passwords.ts'
import { Sessions } from './sessions.ts'
import { DEFAULT_TENANT, isEnrolmentToken, isStoredToken, tokenSha256 } from './tokens.ts'

/** Identifies who sends a request. */
export interface Identity {
  user: User
  /** Absent for a session. */
  token?: Token
  /** Absent for a token. */
  session?: Session
  /** Set for tenants other than the first: a tag that no other tenant can guess, for ids that clients choose. */
  idTag?: string
}

/** Result of looking up a token. It has no user if the token belongs to the tenant itself. */
type TokenLookup = Identity | { user?: undefined; token: Token; session?: undefined }

/** A token as the runner link uses it: it tells which runners the token is for. */
export type RunnerIdentity =
  | { tenant: string; group?: string; runner_id?: string }
  | { refused: string; revoked?: boolean }

export interface AuthOptions {
  accounts: AccountStore
  /** Signs sessions. `Secrets.ofHub` stores one, sealed. */
  secret: string
  /** Tokens chosen by the operator, whose form differs from the hub's own. The store has them too. */
  given?: readonly string[]
  loginLimits?: LoginLimits
  now?: () => number
}

/**
 * Milliseconds that a change by another hub to a token or user may go unnoticed. The hub's own changes are seen at
 * once.
 */
const CACHE_MS = 5_000
const CACHE_ENTRIES = 1_000

export class Auth {
  readonly passwords = new Passwords()
  readonly #accounts: AccountStore
  readonly #secret: string
  readonly #sessions: Sessions
  readonly #limit: LoginLimit
  readonly #now: () => number
  readonly #configured: ReadonlySet<string>
  readonly #listeners: (() => void)[] = []
  #cache = new Map<string, { found: TokenLookup; untilMs: number }>()

  constructor(options: AuthOptions) {
    this.#accounts = options.accounts
    this.#configured = new Set((options.given ?? []).map(tokenSha256))
    this.#secret = options.secret
    this.#now = options.now ?? Date.now
    this.#sessions = new Sessions({ secret: options.secret, accounts: options.accounts, now: this.#now })
    this.#limit = new LoginLimit(options.loginLimits ?? DEFAULT_LOGIN_LIMITS)
  }

  /**
   * Logs in. `browser` is the mark of a browser that somebody has logged in with; a new mark is returned if it is not
   * this user's. Throws `rate_limited` or `unauthorized`; neither reveals whether the user exists.
   */
  async login({ username, password }: Omit<LoginRequest, 'cookie'>, address: string, browser?: string) {
    const account = accountOf(username)
    const user = await this.#accounts.userByName(account)
    const isKnown = user !== undefined && browser !== undefined && this.#isBrowserOf(user, browser)
    const place = isKnown ? knownPlace(browser) : address
    const right = await this.#isRight(user, account, password, place)
    if (user === undefined || !right || user.disabled)
      throw new ErrandError(
        'unauthorized',
        'The user name or the password is wrong, or the user is disabled.',
        {
          hint: `If you lost the password, ask an admin for a new one. Users of a tenant other than "${DEFAULT_TENANT}" log in as TENANT/NAME.`,
        },
      )
    this.#limit.forgive(limitKey(account), place, this.#now())
    return {
      ...(await this.#sessions.issue(user)),
      user,
      browser: isKnown ? undefined : this.#browserOf(user),
    }
  }

  /**
   * Checks a password. A try counts as a failure until it is forgiven, but not while it waits for its turn: many
   * correct logins at once are no failures.
   */
  async #isRight(
    user: User | undefined,
    account: Account,
    password: string,
    address: string,
  ): Promise<boolean> {
    const key = limitKey(account)
    this.#limit.check(key, address, this.#now())
    await this.#limit.pace(key, address, this.#now())
    return this.passwords.verify(password, user?.password_hash, {
      from: this.#limit.lineOf(address, this.#now()),
      begin: () => this.#limit.take(key, address, this.#now()),
    })
  }

  /**
   * Changes the password, ends every session of the user, and returns a new one. Throws `rate_limited`, and
   * `unauthorized` if the old password is wrong.
   */
  async changePassword(user: User, { current_password, new_password }: ChangePassword) {
    // The caller has a session of the user, so failures of strangers do not count here.
    const place = knownPlace(user.id)
    if (!(await this.#isRight(user, user, current_password, place)))
      throw new ErrandError('unauthorized', 'The current password is wrong.', {
        hint: 'If you lost it, ask an admin for a new password.',
      })
    this.#limit.forgive(limitKey(user), place, this.#now())
    const password_hash = await this.passwords.hash(new_password)
    const changed = await this.#accounts.updateUser(user.id, { password_hash })
    this.changed()
    return { ...(await this.#sessions.issue(changed)), user: changed }
  }

  /** Returns a mark for a browser in which the user has logged in. It proves only that and grants no access. */
  #browserOf(user: User, id = randomBytes(16).toString('base64url')): string {
    const proof = createHmac('sha256', this.#secret).update(`browser ${id} of the user ${user.id}`)
    return `${id}.${proof.digest('base64url')}`
  }

  #isBrowserOf(user: User, mark: string): boolean {
    const [right, sent] = [Buffer.from(this.#browserOf(user, mark.split('.', 1)[0])), Buffer.from(mark)]
    return right.length === sent.length && timingSafeEqual(right, sent)
  }

  /** Returns the value with which a page of the hub proves that a request of this session comes from it. */
  csrfOf({ id }: Session): string {
    return createHmac('sha256', this.#secret).update(`requests of the session ${id}`).digest('base64url')
  }

  isCsrfOf(session: Session, token: string): boolean {
    const [right, sent] = [Buffer.from(this.csrfOf(session)), Buffer.from(token)]
    return right.length === sent.length && timingSafeEqual(right, sent)
  }

  /** Ends the session, or all sessions of its user. Throws `bad_request` if there is no session. */
  async logout({ session, token }: Identity, everywhere = false): Promise<void> {
    if (session === undefined)
      throw new ErrandError(
        'bad_request',
        `The token "${token?.name}" is not a session, so it cannot log out.`,
        {
          hint: `Revoke it with: errand tokens revoke ${token?.id}`,
        },
      )
    await (everywhere ? this.#sessions.endAll(session) : this.#sessions.end(session))
    this.changed()
  }

  /**
   * Authenticates a token or session; `also` is a further scope to accept. Throws `unauthorized`, `token_revoked`, or
   * `forbidden` for a token with another scope. Each message says why.
   */
  async authenticate(text: string | undefined, also?: 'metrics'): Promise<Identity> {
    if (text === undefined || text === '')
      throw new ErrandError('unauthorized', 'This requires a token, but none was sent.', {
        hint: 'Log in with: errand login URL. Programs: create a token with errand tokens create, and send "Authorization: Bearer <token>".',
      })
    const { user, token, session } = await this.identify(text)
    if (token?.scope === 'enroll')
      throw new ErrandError(
        'forbidden',
        'This is an enrolment token: it can only be exchanged for a runner token.',
        { hint: 'On the machine, run: errand runner enroll --hub URL --token TOKEN' },
      )
    if (token?.scope === 'metrics' && also !== 'metrics')
      throw new ErrandError('forbidden', 'This is a metrics token: it can only read /metrics.', {
        hint: 'Use an API token (errand_api_…) or log in.',
      })
    if (token?.scope === 'runner' || user === undefined)
      throw new ErrandError('forbidden', 'This is a runner token: only runners can use it.', {
        hint: 'Use an API token (errand_api_…) or log in.',
      })
    const idTag = user.tenant === DEFAULT_TENANT ? undefined : this.#tagOf(user.tenant)
    return { user, token, session, idTag }
  }

  /** Authenticates a runner link, which takes only runner tokens. Rejects only if the store fails. */
  async authenticateRunner(text: string | undefined): Promise<RunnerIdentity> {
    if (text === undefined || text === '')
      return { refused: 'No token was sent. Set ERRAND_TOKEN to a runner token.' }
    if (!this.#isStored(text)) return { refused: 'This is not a runner token (errand_runner_…).' }
    try {
      const { user, token } = await this.identify(text)
      if (token?.scope === 'enroll')
        return { refused: 'This is an enrolment token. Exchange it with: errand runner enroll' }
      if (token?.scope !== 'runner')
        return { refused: 'This is an API token. A runner needs a runner token (errand_runner_…).' }
      return { tenant: user?.tenant ?? token.tenant!, group: token.group, runner_id: token.runner_id }
    } catch (error) {
      if (error instanceof ErrandError && error.status === 401)
        return { refused: error.message, revoked: error.code === 'token_revoked' }
      throw error
    }
  }

  /** Drops cached lookups after a user or token has changed. */
  changed(): void {
    this.#cache = new Map()
    for (const listener of this.#listeners) listener()
  }

  /** Registers a callback for each `changed`, after which a token may turn out to be refused. */
  onChanged(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Finds the owner of a token of any scope, if the token is still valid. Throws `unauthorized` or `token_revoked`. */
  async identify(text: string): Promise<TokenLookup> {
    const nowMs = this.#now()
    const key = tokenSha256(text)
    const known = this.#cache.get(key)
    if (known !== undefined && known.untilMs > nowMs) {
      if (known.found.token) this.#accounts.touchToken(known.found.token.id, new Date(nowMs).toISOString())
      return known.found
    }
    // A lookup that began before a change is cached in the map from before it.
    const cache = this.#cache
    const { found, expiresMs } = this.#isStored(text)
      ? await this.#stored(text, nowMs)
      : await this.#session(text)
    if (cache.size >= CACHE_ENTRIES) cache.clear()
    cache.set(key, { found, untilMs: Math.min(nowMs + CACHE_MS, expiresMs) })
    return found
  }

  #tagOf(tenant: string): string {
    return createHmac('sha256', this.#secret).update(`ids of the tenant ${tenant}`).digest('hex').slice(0, 12)
  }

  #isStored(text: string): boolean {
    return isStoredToken(text) || this.#configured.has(tokenSha256(text))
  }

  async #session(text: string): Promise<{ found: TokenLookup; expiresMs: number }> {
    const { user, session } = await this.#sessions.open(text)
    return { found: { user, session }, expiresMs: Date.parse(session.expires_at) }
  }

  async #stored(text: string, nowMs: number): Promise<{ found: TokenLookup; expiresMs: number }> {
    const make = `errand ${isEnrolmentToken(text) ? 'runners enroll-token' : 'tokens create'}`
    const found = await this.#accounts.tokenByHash(tokenSha256(text))
    if (found === undefined)
      throw new ErrandError('unauthorized', 'This hub does not know this token.', {
        hint: `Check that it is complete and belongs to this hub. Create one with: ${make}`,
      })
    const { token, user } = found
    const hint = `Create a new one with: ${make}`
    if (token.revoked_at !== undefined)
      throw new ErrandError(
        'token_revoked',
        `The token "${token.name}" was revoked at ${token.revoked_at}.`,
        { hint },
      )
    const expiresMs = token.expires_at === undefined ? Number.POSITIVE_INFINITY : Date.parse(token.expires_at)
    if (expiresMs <= nowMs)
      throw new ErrandError('token_expired', `The token "${token.name}" expired at ${token.expires_at}.`, {
        hint,
      })
    if (user?.disabled)
      throw new ErrandError('unauthorized', `The user "${user.name}" of this token is disabled.`, {
        hint: 'Ask an admin.',
      })
    if (user !== undefined && user.role !== 'admin' && token.scope !== 'api')
      throw new ErrandError(
        'unauthorized',
        `The token "${token.name}" requires an admin, but "${user.name}", who created it, is no longer an admin.`,
        { hint: 'Ask an admin for a new one.' },
      )
    this.#accounts.touchToken(token.id, new Date(nowMs).toISOString())
    return { found: user === undefined ? { token } : { user, token }, expiresMs }
  }
}

type Account = Pick<User, 'tenant' | 'name'>

const limitKey = ({ tenant, name }: Account): string => `${tenant}/${name}`

/**
 * Returns the account that a user name at the login means. Names are unique within a tenant, and neither part
 * contains a "/".
 */
function accountOf(username: string): Account {
  const [tenant = '', name] = username.split(/\/(.*)/s)
  return name === undefined ? { tenant: DEFAULT_TENANT, name: username } : { tenant, name }
}
