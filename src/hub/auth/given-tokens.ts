import type { AccountStore, NewToken, User } from '../store/accounts.ts'
import { newId } from './account-id.ts'
import { DEFAULT_TENANT } from './first-admin.ts'
import { tokenSha256 } from './token-text.ts'

/** The user that the operator's client token acts as. It has no password. */
const CLIENT_USER = 'client'

const nameOf = (scope: 'api' | 'runner'): string => `given to the hub at its start (${scope})`

/** Names of tokens that the operator has chosen. One that was revoked is kept: forgotten, it would be good again at the next start. */
export const givenTokenNames: readonly string[] = [nameOf('api'), nameOf('runner')]

/**
 * Keeps the tokens that the operator has chosen, as the ones that a hub makes: their hashes. One that was chosen
 * before, and is not now, is revoked.
 */
export async function keepGivenTokens(
  accounts: AccountStore,
  given: { client?: string; runner?: string },
): Promise<void> {
  const users = await accounts.users({ tenant: DEFAULT_TENANT })
  const client = users.find(({ name }) => name === CLIENT_USER)
  if (given.client !== undefined || client !== undefined)
    await keep(accounts, { user_id: (client ?? (await newClient(accounts))).id }, 'api', given.client)
  await keep(accounts, { tenant: DEFAULT_TENANT }, 'runner', given.runner)
}

async function keep(
  accounts: AccountStore,
  whose: Pick<NewToken, 'user_id' | 'tenant'>,
  scope: 'api' | 'runner',
  text: string | undefined,
): Promise<void> {
  const name = nameOf(scope)
  const sha256 = text === undefined ? undefined : tokenSha256(text)
  const known = sha256 === undefined ? undefined : await accounts.tokenByHash(sha256)
  for (const token of await accounts.tokens())
    if (
      token.name === name &&
      token.scope === scope &&
      token.revoked_at === undefined &&
      token.id !== known?.token.id
    )
      await accounts.revokeToken(token.id, new Date().toISOString())
  if (sha256 === undefined || known !== undefined) return
  const created_at = new Date().toISOString()
  await accounts.createToken({
    id: newId('token'),
    name,
    scope,
    ...whose,
    token_sha256: sha256,
    created_at,
  })
}

async function newClient(accounts: AccountStore): Promise<User> {
  const user: User = {
    id: newId('user'),
    name: CLIENT_USER,
    role: 'user',
    tenant: DEFAULT_TENANT,
    password_hash: 'none',
    created_at: new Date().toISOString(),
    disabled: false,
  }
  await accounts.createUser(user)
  return user
}
