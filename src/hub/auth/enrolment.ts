import { ErrandError } from '../../contract/errors.ts'
import type {
  CreateEnrollment,
  EnrollmentCreated,
  EnrollRunner,
  RunnerEnrolled,
} from '../../contract/protocol.ts'
import type { AccountStore, TenantRunner } from '../../stores/accounts.ts'
import type { Auth, Identity } from './auth.ts'
import { LoginLimit, type LoginLimits } from './login-limit.ts'
import { boundToMaker, isEnrolmentToken, newId, newTokenText, tokenSha256 } from './tokens.ts'

/** Limits the failed tries of one address before it must wait. */
const DEFAULT_ENROLMENT_LIMITS: LoginLimits = {
  perAccount: 20,
  perAddress: 20,
  windowMs: 60_000,
  entries: 10_000,
}

export interface EnrolmentsOptions {
  accounts: AccountStore
  auth: Auth
  /** Returns the connected runner with that id, if any. */
  connected(runner: TenantRunner): Promise<{ hostname: string; connected_at: string } | undefined>
  limits?: LoginLimits
}

/** Manages tokens that work once: each is exchanged for the token of one runner. */
export class Enrolments {
  readonly #accounts: AccountStore
  readonly #auth: Auth
  readonly #connected: EnrolmentsOptions['connected']
  readonly #limit: LoginLimit

  constructor(options: EnrolmentsOptions) {
    this.#accounts = options.accounts
    this.#auth = options.auth
    this.#connected = options.connected
    this.#limit = new LoginLimit(options.limits ?? DEFAULT_ENROLMENT_LIMITS)
  }

  /**
   * Creates an enrolment token. Its runners belong to the user's tenant. If a token made it, it and the runner's
   * token end with that token.
   */
  async create(
    { user, token: maker }: Pick<Identity, 'user' | 'token'>,
    { name, group, expires_in_seconds }: CreateEnrollment,
  ): Promise<EnrollmentCreated> {
    const token = newTokenText('enroll')
    const nowMs = Date.now()
    const id = newId('token')
    const expires = new Date(nowMs + expires_in_seconds * 1000).toISOString()
    const { expires_at = expires, made_by } = boundToMaker(maker, expires)
    await this.#accounts.createToken({
      id,
      name,
      user_id: user.id,
      scope: 'enroll',
      token_sha256: tokenSha256(token),
      created_at: new Date(nowMs).toISOString(),
      expires_at,
      made_by,
      group,
    })
    return { id, token, group, expires_at }
  }

  /**
   * Exchanges an enrolment token. Throws `unauthorized`, `token_expired` or `token_revoked`, or `rate_limited` for an
   * address that tries many bad ones. A good token cannot be guessed, so it is accepted however many others were
   * tried. Throws `conflict` if a runner with the id is connected; the token then stays good.
   */
  async exchange(request: EnrollRunner, address: string): Promise<RunnerEnrolled> {
    try {
      return await this.#exchanged(request)
    } catch (error) {
      if (error instanceof ErrandError && error.status === 401)
        this.#limit.take('enrolment', address, Date.now())
      throw error
    }
  }

  async #exchanged({ token: text, runner_id }: EnrollRunner): Promise<RunnerEnrolled> {
    const { user, token } = isEnrolmentToken(text) ? await this.#auth.identify(text) : {}
    const tenant = user?.tenant ?? token?.tenant
    if (tenant === undefined || token?.scope !== 'enroll')
      throw new ErrandError('unauthorized', 'This is not an enrolment token (errand_enroll_…).', {
        hint: 'Create one with: errand runners enroll-token',
      })
    // If the token was used, the check below reports by which runner.
    if (token.used_at === undefined && token.runner_id !== undefined && token.runner_id !== runner_id)
      throw new ErrandError(
        'forbidden',
        `This enrolment token is for the runner "${token.runner_id}", not for "${runner_id}".`,
        { hint: 'Create one for this machine with: errand runners enroll-token' },
      )
    const other = await this.#connected({ tenant, id: runner_id })
    // `identify` may have cached the token from some seconds ago.
    if (other !== undefined && (await this.#accounts.token(token.id))?.used_at === undefined)
      throw new ErrandError(
        'conflict',
        `The runner id "${runner_id}" is in use by a runner on ${other.hostname}, connected since ${other.connected_at}.`,
        {
          hint: 'The token is still valid. Give this machine its own id: errand runner enroll --id NAME. To enrol the other runner again, stop it first.',
        },
      )
    const maker = token.made_by === undefined ? undefined : await this.#accounts.token(token.made_by)
    const runnerToken = newTokenText('runner')
    const made = await this.#accounts.exchangeToken(token.id, {
      id: newId('token'),
      name: `runner ${runner_id}`.slice(0, 200),
      // A machine stays enrolled when the admin who enrolled it leaves.
      tenant,
      created_by: user?.name ?? token.created_by,
      scope: 'runner',
      token_sha256: tokenSha256(runnerToken),
      created_at: new Date().toISOString(),
      group: token.group,
      runner_id,
      ...boundToMaker(maker),
    })
    if (!made) throw await this.#notGood(token.id)
    return { runner_id, token: runnerToken, tenant, group: token.group }
  }

  async #notGood(id: string): Promise<ErrandError> {
    const now = await this.#accounts.token(id)
    const hint = 'Create a new one with: errand runners enroll-token'
    if (now?.used_at === undefined)
      return new ErrandError('token_revoked', 'This enrolment token was revoked.', { hint })
    return new ErrandError(
      'unauthorized',
      `This enrolment token was used by the runner "${now.runner_id}" at ${now.used_at}.`,
      { hint: `Each token is valid for one use. ${hint}` },
    )
  }
}
