import { randomBytes } from 'node:crypto'
import { ErrandError } from '../../contract/errors.ts'
import type { AccountStore, User } from '../store/accounts.ts'
import { newId } from './account-id.ts'
import { Passwords } from './passwords.ts'

export const DEFAULT_TENANT = 'default'

/** Whose the tokens are that the hub has of itself: of the first tenant's admins who are not disabled the one who was first. */
export async function hubAdmin(accounts: AccountStore): Promise<User | undefined> {
  const users = await accounts.users({ tenant: DEFAULT_TENANT })
  const admins = users.filter(({ role, disabled }) => role === 'admin' && !disabled)
  return admins.sort((a, b) => (a.created_at < b.created_at ? -1 : 1))[0]
}

/** Where there is no user yet: makes `admin` with a random password and answers it, this once. */
export async function ensureAdmin(
  accounts: AccountStore,
): Promise<{ username: string; password: string } | undefined> {
  if ((await accounts.users()).length > 0) return undefined
  const username = 'admin'
  const password = randomBytes(15).toString('base64url')
  try {
    await accounts.createUser({
      id: newId('user'),
      name: username,
      role: 'admin',
      tenant: DEFAULT_TENANT,
      password_hash: await new Passwords().hash(password),
      created_at: new Date().toISOString(),
      disabled: false,
    })
  } catch (error) {
    // Another hub on the same store was faster, and has shown its password.
    if (error instanceof ErrandError && error.code === 'conflict') return undefined
    throw error
  }
  return { username, password }
}
