import type { AccountStore } from '../../stores/accounts.ts'
import type { MadeRow } from '../../stores/sqlite/made-runners.ts'
import type { Auth } from '../auth/auth.ts'
import { newId, tokenSha256 } from '../auth/tokens.ts'
import { enrolTokenOf } from './names.ts'

/** The tokens of made runners: one that is good once, for one runner, and what it is exchanged for. */
export class MadeTokens {
  readonly #accounts: AccountStore
  readonly #auth: Pick<Auth, 'changed'>
  readonly #secret: string

  constructor(options: { accounts: AccountStore; auth: Pick<Auth, 'changed'>; secret: string }) {
    this.#accounts = options.accounts
    this.#auth = options.auth
    this.#secret = options.secret
  }

  /** Resolves once it is kept. Of one runner always the same, so that it may be asked for twice. */
  async make({ name, tenant, group, due_at }: MadeRow): Promise<string> {
    const text = enrolTokenOf(this.#secret, name)
    const token_sha256 = tokenSha256(text)
    if ((await this.#accounts.tokenByHash(token_sha256)) === undefined)
      await this.#accounts.createToken({
        id: newId('token'),
        name: `enrolment of ${name}`,
        tenant,
        created_by: 'the hub',
        scope: 'enroll',
        token_sha256,
        created_at: new Date().toISOString(),
        expires_at: due_at,
        group,
        runner_id: name,
      })
    return text
  }

  /** The runner can reach the hub no more, with none of its tokens. */
  async revoke({ name, tenant }: MadeRow): Promise<void> {
    const now = new Date().toISOString()
    const enrol = await this.#accounts.tokenByHash(tokenSha256(enrolTokenOf(this.#secret, name)))
    if (enrol !== undefined) await this.#accounts.revokeToken(enrol.token.id, now)
    await this.#accounts.revokeRunnerTokens({ tenant, id: name }, now)
    this.#auth.changed()
  }
}
