import type { Permission } from '../contract/account-api.ts'

/**
 * Who may use the hub, and what the hub remembers beside its runs. Ids, times (RFC 3339, UTC) and hashes are the
 * caller's: this store never sees a password or a token's text. Calls may overlap; each is one commit, and
 * resolves after it. All reject with `store_failed` or `disk_full` where the store fails.
 */

export type Role = 'admin' | 'user'

export interface User {
  id: string
  /** Unique in its tenant without regard to the case of ASCII letters; kept as written. */
  name: string
  role: Role
  tenant: string
  password_hash: string
  created_at: string
  disabled: boolean
}
export type UserPatch = Partial<Pick<User, 'role' | 'password_hash' | 'disabled'>>

/** `enroll`: exchanged once for a `runner` token. `metrics`: reads the figures of the hub. */
export type TokenScope = 'api' | 'runner' | 'enroll' | 'metrics'

export interface Token {
  id: string
  name: string
  /** Whom it acts as, or who made it. Absent: it is the tenant's own, and outlives whoever made it. */
  user_id?: string
  /** Set where no user is. */
  tenant?: string
  /** Name of who made one that is the tenant's own, as it was then. */
  created_by?: string
  scope: TokenScope
  /** Permissions of an `api` token; absent: none. */
  allow?: readonly Permission[]
  /** Id of the token that made it, with which it ends. Absent: a log-in did, or the hub. */
  made_by?: string
  /** Counts as a log-in: of the hub's own machine, whose user has the hub's data anyway. */
  as_login?: true
  /** Hex. Unique. */
  token_sha256: string
  created_at: string
  /** Up to a minute behind. */
  last_used_at?: string
  expires_at?: string
  revoked_at?: string
  /** The one runner group that a `runner` token may serve, or one that is enrolled by this; absent: any. */
  group?: string
  /** The one runner that a `runner` token is for; absent: any. Of an `enroll` token: who has used it. */
  runner_id?: string
  /** When an `enroll` token was exchanged. */
  used_at?: string
}
export type NewToken = Omit<Token, 'last_used_at' | 'revoked_at' | 'used_at'>

/** A login that has not ended. */
export interface Session {
  /** Hash of the id that the user's session has. Hex. */
  id: string
  user_id: string
  created_at: string
  expires_at: string
}

/** How long an idempotency key is kept. */
export const IDEMPOTENCY_KEPT_MS = 24 * 60 * 60 * 1000

export interface IdempotencyKey {
  /** As the client sent it; unique together with `owner`. */
  key: string
  owner: string
  /** Tells the same request from another one under the same key. */
  request_hash: string
  run_id: string
  created_at: string
}

/** A runner that has connected at least once. */
export interface SeenRunner {
  id: string
  group: string
  hostname: string
  cpus: number
  memory_bytes: number
  labels: Record<string, string>
  mode: string
  version: string
  slots: number
  tenant: string
  /** An admin lets it take nothing new. */
  draining: boolean
  first_seen_at: string
  last_seen_at: string
}

/** Names a runner: ids are unique in a tenant. */
export type TenantRunner = Pick<SeenRunner, 'tenant' | 'id'>

export interface AccountStore {
  /** Throws `conflict` where the id, or the name in the tenant, is taken. */
  createUser(user: User): Promise<void>
  user(id: string): Promise<User | undefined>
  userByName(of: Pick<User, 'tenant' | 'name'>): Promise<User | undefined>
  /** By name, then tenant; all tenants unless one is named. */
  users(filter?: { tenant?: string }): Promise<User[]>
  /** Answers the user as it is now. Throws `not_found`. */
  updateUser(id: string, patch: UserPatch): Promise<User>
  /** With its tokens and sessions; what its tokens have made for the tenant is revoked. False: it was not there. */
  deleteUser(id: string): Promise<boolean>

  /** Sessions that have expired before it was made are deleted here. Throws `not_found` for an unknown user. */
  createSession(session: Session): Promise<void>
  /** With its user; also one that has expired: the caller judges. */
  session(id: string): Promise<{ session: Session; user: User } | undefined>
  /** False: it was not there. */
  deleteSession(id: string): Promise<boolean>
  /** All of a user's. */
  deleteSessionsOf(userId: string): Promise<void>

  /** Throws `conflict` where the id or the hash is taken, `not_found` for an unknown user, `token_revoked` where `made_by` is not good. */
  createToken(token: NewToken): Promise<void>
  /** The token with its user, if it is one's, also where it is expired or revoked, or its user disabled: the caller judges. */
  tokenByHash(tokenSha256: string): Promise<{ token: Token; user?: User } | undefined>
  token(id: string): Promise<Token | undefined>
  /** Oldest first, revoked ones too. */
  tokens(filter?: { user_id?: string; tenant?: string }): Promise<Token[]>
  /** With all that it has made, at any remove. Twice is once: the first time stays. False: it was not there. */
  revokeToken(id: string, at: string): Promise<boolean>
  /** From now on the token is one with `as_login`. */
  countAsLogin(id: string): Promise<void>
  /**
   * Keeps the new token of a runner and notes that the `enroll` token was used for it, in one commit. Of two calls for
   * one `enroll` token one is taken. False: it was used or revoked before, and nothing is kept.
   */
  exchangeToken(enrollId: string, made: NewToken & { runner_id: string }): Promise<boolean>
  /** Revokes the `runner` tokens of a tenant that are for this runner alone; answers how many. */
  revokeRunnerTokens(runner: TenantRunner, at: string): Promise<number>
  /** Takes those away that were revoked or used up, or have expired, before that time, but none of these names; answers how many. */
  forgetTokens(before: string, butNamed?: readonly string[]): Promise<number>
  /** Notes the use, at most once a minute for a token. Never throws or waits; a failure to write is dropped. */
  touchToken(id: string, at: string): void

  /**
   * Takes the key unless this owner has it already: then answers what is there and changes nothing. Of two calls
   * at once one takes it. Keys older than `IDEMPOTENCY_KEPT_MS` count as gone and are deleted here. After a crash
   * a key may name a run that was never created.
   */
  claimKey(key: IdempotencyKey): Promise<IdempotencyKey | undefined>
  /** Takes a claim back, for a request that was refused. */
  releaseKey(owner: string, key: string): Promise<void>
  /** Takes the keys of these runs away: the runs are no more. */
  forgetKeys(runIds: readonly string[]): Promise<void>

  /** Keeps what was seen; `first_seen_at` stays as it was for a runner known already. */
  saveRunner(runner: SeenRunner): Promise<void>
  /** By id, then tenant. */
  runners(): Promise<SeenRunner[]>
  /** False: it was not there. */
  removeRunner(runner: TenantRunner): Promise<boolean>

  setting(key: string): Promise<string | undefined>
  setSetting(key: string, value: string): Promise<void>
  /** Keeps the value only where there is none yet, and answers the one that is kept. */
  initSetting(key: string, value: string): Promise<string>
}
