import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { AccountStore, NewToken, Token, TokenScope, User } from '../../stores/accounts.ts'
import { diskError } from '../../stores/disk-errors.ts'
import { Passwords } from './passwords.ts'

/** User that the operator's client token acts as. It has no password. */
const CLIENT_USER = 'client'

const nameOf = (scope: 'api' | 'runner'): string => `given to the hub at its start (${scope})`

/**
 * Names of tokens that the operator has chosen. A revoked one stays in the store; if it were deleted, it would be
 * valid again at the next start.
 */
export const configuredTokenNames: readonly string[] = [nameOf('api'), nameOf('runner')]

/**
 * Stores the tokens that the operator has chosen like the hub's own: as hashes. One that was chosen before and is not
 * now is revoked.
 */
export async function storeConfiguredTokens(
  accounts: AccountStore,
  tokens: { client?: string; runner?: string },
): Promise<void> {
  const users = await accounts.users({ tenant: DEFAULT_TENANT })
  const client = users.find(({ name }) => name === CLIENT_USER)
  if (tokens.client !== undefined || client !== undefined)
    await keep(accounts, { user_id: (client ?? (await newClient(accounts))).id }, 'api', tokens.client)
  await keep(accounts, { tenant: DEFAULT_TENANT }, 'runner', tokens.runner)
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

interface OwnToken {
  accounts: AccountStore
  scope: TokenScope
  name: string
  /** Path of a file with the token's text for the next start, readable only by this user. */
  file: string
}

/**
 * Returns a token for programs on the hub's own machine, which is the one of the last start while it is valid. It is
 * either for the tenant's runner, or it acts as the hub's first admin. A stored one that is no longer valid for this
 * is revoked.
 */
export async function ownToken({ accounts, scope, name, file }: OwnToken): Promise<string> {
  const stored = readStored(file)
  const found = stored === undefined ? undefined : await accounts.tokenByHash(tokenSha256(stored))
  if (found !== undefined && isGood(found, scope)) {
    // The token may be from before there were permissions.
    if (scope !== 'runner' && !found.token.as_login) await accounts.countAsLogin(found.token.id)
    return stored!
  }
  if (found !== undefined) await accounts.revokeToken(found.token.id, new Date().toISOString())
  const admin = scope === 'runner' ? undefined : await hubAdmin(accounts)
  if (scope !== 'runner' && admin === undefined) throw new Error('all admins are disabled or deleted')
  const text = newTokenText(scope)
  await accounts.createToken({
    id: newId('token'),
    name,
    scope,
    ...(admin === undefined ? { tenant: DEFAULT_TENANT } : { user_id: admin.id, as_login: true }),
    token_sha256: tokenSha256(text),
    created_at: new Date().toISOString(),
  })
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeFileAtomic(file, `${text}\n`, { mode: 0o600 })
  } catch (error) {
    throw diskError(error, file)
  }
  return text
}

function isGood({ token, user }: { token: Token; user?: User }, scope: TokenScope): boolean {
  if (token.revoked_at !== undefined || token.scope !== scope) return false
  if (scope === 'runner') return token.tenant === DEFAULT_TENANT
  return user?.tenant === DEFAULT_TENANT && user.role === 'admin' && !user.disabled
}

/** Returns the expiry of what this token makes: no later than the token, and bound to it. A log-in sets no limit. */
export function boundToMaker(
  maker: Token | undefined,
  requested?: string,
): Pick<NewToken, 'expires_at' | 'made_by'> {
  if (maker === undefined || maker.as_login) return { expires_at: requested }
  const ends = [requested, maker.expires_at].filter((time) => time !== undefined).sort()
  return { expires_at: ends[0], made_by: maker.id }
}

function readStored(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

export const DEFAULT_TENANT = 'default'

/** Returns the owner of the hub's own tokens: the first of the first tenant's admins who is not disabled. */
async function hubAdmin(accounts: AccountStore): Promise<User | undefined> {
  const users = await accounts.users({ tenant: DEFAULT_TENANT })
  const admins = users.filter(({ role, disabled }) => role === 'admin' && !disabled)
  return admins.sort((a, b) => (a.created_at < b.created_at ? -1 : 1))[0]
}

/** Creates `admin` with a random password if there is no user yet, and returns it this once. */
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
    // Another hub on the same store was faster and has shown its password.
    if (error instanceof ErrandError && error.code === 'conflict') return undefined
    throw error
  }
  return { username, password }
}

/** Returns a new id for a user, token, session, place or view. */
export const newId = (prefix: 'user' | 'token' | 'session' | 'channel' | 'view'): string =>
  `${prefix}_${randomBytes(12).toString('base64url')}`

/** Prefixes that tell people and secret scanners what a token is for. */
const prefixes: Record<TokenScope, string> = {
  api: 'errand_api_',
  runner: 'errand_runner_',
  enroll: 'errand_enroll_',
  metrics: 'errand_metrics_',
}

/** Returns the text of a new token: 256 random bits, so that a plain hash of it is secure. */
export const newTokenText = (scope: TokenScope): string =>
  prefixes[scope] + randomBytes(32).toString('base64url')

export const isStoredToken = (text: string): boolean => text.startsWith('errand_')

export const isEnrolmentToken = (text: string): boolean => text.startsWith(prefixes.enroll)

export const tokenSha256 = (text: string): string => hash('sha256', text, 'hex')
