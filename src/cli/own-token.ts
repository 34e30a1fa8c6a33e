import { mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { newId } from '../hub/auth/account-id.ts'
import { DEFAULT_TENANT, hubAdmin } from '../hub/auth/first-admin.ts'
import { newTokenText, tokenSha256 } from '../hub/auth/token-text.ts'
import type { AccountStore, TokenScope } from '../hub/store/accounts.ts'
import { diskError } from '../hub/store/disk-errors.ts'
import { writeFileAtomic } from '../platform/atomic-file.ts'

export interface OwnToken {
  accounts: AccountStore
  scope: TokenScope
  name: string
  /** Keeps the token's text for the next start, readable by this user only. */
  file: string
}

/** A token of the hub's first admin for what runs on its own machine: the one of the last start while it is good. */
export async function ownToken({ accounts, scope, name, file }: OwnToken): Promise<string> {
  const kept = readKept(file)
  const found = kept === undefined ? undefined : await accounts.tokenByHash(tokenSha256(kept))
  if (
    found !== undefined &&
    found.token.revoked_at === undefined &&
    found.token.scope === scope &&
    found.user.tenant === DEFAULT_TENANT &&
    !found.user.disabled
  ) {
    return kept!
  }
  const admin = await hubAdmin(accounts)
  if (admin === undefined) throw new Error('there is no admin left who is not disabled')
  const text = newTokenText(scope)
  await accounts.createToken({
    id: newId('token'),
    name,
    scope,
    user_id: admin.id,
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

function readKept(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
