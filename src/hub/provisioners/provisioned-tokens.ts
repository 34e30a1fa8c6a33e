import type { AccountStore } from '../../stores/accounts.ts'
import type { ProvisionedRow } from '../../stores/sqlite/provisioned-runners.ts'
import type { Auth } from '../auth/auth.ts'
import { newId, tokenSha256 } from '../auth/tokens.ts'
import { enrolTokenOf } from './names.ts'

/**
 * Manages the tokens of provisioned runners: a token that works once for one runner, and the one it is exchanged for.
 */
export class ProvisionedTokens {
  readonly #accounts: AccountStore
  readonly #auth: Pick<Auth, 'changed'>
  readonly #secret: string

  constructor(options: { accounts: AccountStore; auth: Pick<Auth, 'changed'>; secret: string }) {
    this.#accounts = options.accounts
    this.#auth = options.auth
    this.#secret = options.secret
  }

  /**
   * Makes the token of a runner; resolves once it is stored. The same runner always gets the same token, so a repeat
   * is harmless.
   */
  async make({ name, tenant, group, due_at }: ProvisionedRow): Promise<string> {
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

  /** Revokes all tokens of the runner, so that it can no longer reach the hub. */
  async revoke({ name, tenant }: ProvisionedRow): Promise<void> {
    const now = new Date().toISOString()
    const enrol = await this.#accounts.tokenByHash(tokenSha256(enrolTokenOf(this.#secret, name)))
    if (enrol !== undefined) await this.#accounts.revokeToken(enrol.token.id, now)
    await this.#accounts.revokeRunnerTokens({ tenant, id: name }, now)
    this.#auth.changed()
  }
}
