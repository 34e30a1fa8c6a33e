import { mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import type { AccountStore, Token, TokenScope, User } from '../store/accounts.ts'
import { diskError } from '../store/disk-errors.ts'
import { newId } from './account-id.ts'
import { DEFAULT_TENANT, hubAdmin } from './first-admin.ts'
import { newTokenText, tokenSha256 } from './token-text.ts'

export interface OwnToken {
  accounts: AccountStore
  scope: TokenScope
  name: string
  /** Keeps the token's text for the next start, readable by this user only. */
  file: string
}

/**
 * Returns a token for what runs on the hub's own machine, the one of the last start while it is good: of its runner, which
 * is the tenant's, or one that acts as the hub's first admin. One that is good no more for this is revoked.
 */
export async function ownToken({ accounts, scope, name, file }: OwnToken): Promise<string> {
  const kept = readKept(file)
  const found = kept === undefined ? undefined : await accounts.tokenByHash(tokenSha256(kept))
  if (found !== undefined && isGood(found, scope)) return kept!
  if (found !== undefined) await accounts.revokeToken(found.token.id, new Date().toISOString())
  const admin = scope === 'runner' ? undefined : await hubAdmin(accounts)
  if (scope !== 'runner' && admin === undefined) throw new Error('there is no admin left who is not disabled')
  const text = newTokenText(scope)
  await accounts.createToken({
    id: newId('token'),
    name,
    scope,
    ...(admin === undefined ? { tenant: DEFAULT_TENANT } : { user_id: admin.id }),
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

function readKept(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
