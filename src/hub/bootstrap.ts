import { join } from 'node:path'
import type { ErrandError } from '../contract/errors.ts'
import { makeFolderSync } from '../platform/files.ts'
import type { Log } from '../platform/log.ts'
import type { AccountStore } from '../stores/accounts.ts'
import { diskError } from '../stores/disk-errors.ts'
import { lostDatabase, openSqliteStores, startEmpty } from '../stores/sqlite/open.ts'
import type { SqliteStores } from '../stores/sqlite/stores.ts'
import { Auth } from './auth/auth.ts'
import type { LoginLimits } from './auth/login-limit.ts'
import { ownToken, storeConfiguredTokens } from './auth/tokens.ts'
import type { Secrets } from './secrets.ts'

export interface StoresOptions {
  /** Data folder. */
  data: string
  /** Database file; by default `errand.db` in the data folder. `:memory:` stores nothing durably. */
  database?: string
  /** True to move aside what an older hub, or one without its database, has left. */
  isNew?: boolean
  log: Log
}

/** Opens the hub's database. Throws `store_failed` if it is gone or cannot be opened. */
export async function openStores({ data, database, isNew, log }: StoresOptions): Promise<SqliteStores> {
  const aside = isNew ? await startEmpty(data) : undefined
  if (aside !== undefined) log(`The files of an earlier hub were moved to ${aside}.`)
  const lost = lostDatabase(data)
  if (lost !== undefined) throw lost
  const stores = await openSqliteStores({ file: database ?? join(data, 'errand.db') })
  if (stores.missingCommits > 0)
    log(
      `The database has lost its last ${stores.missingCommits} commits: its write-ahead log (errand.db-wal) was cut short or is missing. Runs continue from the remaining state. See docs/operations.md.`,
      { level: 'error' },
    )
  return stores
}

export interface AuthParts {
  accounts: AccountStore
  secrets: Pick<Secrets, 'ofHub'>
  configuredTokens?: { client?: string; runner?: string }
  loginLimits?: LoginLimits
  log: Log
}

/** Opens the check of tokens and sessions, after storing the tokens that the operator has chosen. */
export async function openAuth({
  accounts,
  secrets,
  configuredTokens = {},
  loginLimits,
  log,
}: AuthParts): Promise<Auth> {
  await storeConfiguredTokens(accounts, configuredTokens)
  const texts = Object.values(configuredTokens).filter((text) => text !== undefined)
  const secret = await secrets.ofHub('sessions', ({ message, hint = '' }) =>
    log(`Earlier log-ins have ended, and new ones end when this process ends: ${message} ${hint}`, {
      level: 'warn',
    }),
  )
  return new Auth({ accounts, secret, given: texts, loginLimits })
}

/** Creates the folder. A file in its place would block the end of every run. */
export function madeFolder(path: string): string {
  try {
    makeFolderSync(path, 0o700)
    return path
  } catch (error) {
    throw diskError(error, path)
  }
}

/** Seals all secrets with the first key. Without its key, a hub works except for what needs a secret. */
export async function resealed(secrets: Secrets, log: Log): Promise<void> {
  try {
    const count = await secrets.reseal()
    if (count > 0)
      log(`Secrets resealed with the first key: ${count}. The hub no longer needs the other keys.`)
  } catch (error) {
    const { message, hint = '' } = error as ErrandError
    log(`Steps that have secrets will fail: ${message} ${hint}`)
  }
}

/** Returns the tokens of the hub's own machine: for its commands and for its runner. */
export async function ownTokens(
  accounts: AccountStore,
  data: string,
): Promise<{ localToken: string; runnerToken: string }> {
  const localToken = await ownToken({
    accounts,
    scope: 'api',
    name: 'command line of the hub',
    file: join(data, 'local-token'),
  })
  const runnerToken = await ownToken({
    accounts,
    scope: 'runner',
    name: 'runner of the hub',
    file: join(data, 'runner-token'),
  })
  return { localToken, runnerToken }
}
