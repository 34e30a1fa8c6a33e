import type { Permission } from '../contract/account-api.ts'

/**
 * The users of the hub, and what the hub remembers in addition to its runs. Ids, times (RFC 3339, UTC) and hashes come
 * from the caller: this store never sees a password or a token's text. Calls may overlap; each is one commit, and
 * resolves after it. All reject with `store_failed` or `disk_full` when the store fails.
 */

export type Role = 'admin' | 'user'

export interface User {
  id: string
  /** Unique in its tenant without regard to the case of ASCII letters; stored as written. */
  name: string
  role: Role
  tenant: string
  password_hash: string
  created_at: string
  disabled: boolean
}
export type UserPatch = Partial<Pick<User, 'role' | 'password_hash' | 'disabled'>>

/** The scope of a token. `enroll`: exchanged once for a `runner` token. `metrics`: reads the figures of the hub. */
export type TokenScope = 'api' | 'runner' | 'enroll' | 'metrics'

export interface Token {
  id: string
  name: string
  /** The user for whom it acts, or who made it. Absent: it belongs to the tenant itself, and outlives its creator. */
  user_id?: string
  /** Set when there is no `user_id`. */
  tenant?: string
  /** Name of the creator, at that time, of a token that belongs to the tenant itself. */
  created_by?: string
  scope: TokenScope
  /** Permissions of an `api` token; absent: none. */
  allow?: readonly Permission[]
  /** Id of the token that made it, with which it ends. Absent: made by a log-in, or by the hub. */
  made_by?: string
  /** Set when it counts as a log-in: a token of the hub's own machine, whose user has the hub's data anyway. */
  as_login?: true
  /** Unique, in hex. */
  token_sha256: string
  created_at: string
  /** Up to a minute late. */
  last_used_at?: string
  expires_at?: string
  revoked_at?: string
  /** The only runner group that a `runner` token, or one exchanged for this `enroll` token, may serve; absent: any. */
  group?: string
  /** The only runner that a `runner` token is for; absent: any. For an `enroll` token: the runner that has used it. */
  runner_id?: string
  /** When an `enroll` token was exchanged. */
  used_at?: string
}
export type NewToken = Omit<Token, 'last_used_at' | 'revoked_at' | 'used_at'>

/** A login that has not ended. */
export interface Session {
  /** Hash, in hex, of the id that the user's session has. */
  id: string
  user_id: string
  created_at: string
  expires_at: string
}

/** Milliseconds for which an idempotency key is stored. */
export const IDEMPOTENCY_RETENTION_MS = 24 * 60 * 60 * 1000

export interface IdempotencyKey {
  /** The key as the client sent it; unique together with `owner`. */
  key: string
  owner: string
  /** Tells a repeated request from another one under the same key. */
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
  /** Set when an admin allows it nothing new. */
  draining: boolean
  first_seen_at: string
  last_seen_at: string
}

/** Identifies a runner: ids are unique in a tenant. */
export type TenantRunner = Pick<SeenRunner, 'tenant' | 'id'>

export interface AccountStore {
  /** Creates a user. Throws `conflict` when the id, or the name in the tenant, is taken. */
  createUser(user: User): Promise<void>
  user(id: string): Promise<User | undefined>
  userByName(of: Pick<User, 'tenant' | 'name'>): Promise<User | undefined>
  /** Returns users by name, then tenant; all tenants unless one is named. */
  users(filter?: { tenant?: string }): Promise<User[]>
  /** Changes a user; returns the new state. Throws `not_found`. */
  updateUser(id: string, patch: UserPatch): Promise<User>
  /**
   * Deletes a user with their tokens and sessions, and revokes what their tokens have made for the tenant. False: the
   * user did not exist.
   */
  deleteUser(id: string): Promise<boolean>

  /** Creates a session, and deletes those that expired before its creation. Throws `not_found` for an unknown user. */
  createSession(session: Session): Promise<void>
  /** Returns a session with its user, even if it has expired: the caller must check. */
  session(id: string): Promise<{ session: Session; user: User } | undefined>
  /** Returns false when the session did not exist. */
  deleteSession(id: string): Promise<boolean>
  /** Deletes all sessions of a user. */
  deleteSessionsOf(userId: string): Promise<void>

  /**
   * Creates a token. Throws `conflict` when the id or the hash is taken, `not_found` for an unknown user,
   * `token_revoked` when `made_by` is not valid.
   */
  createToken(token: NewToken): Promise<void>
  /**
   * Returns a token with its user, if it has one, even if it is expired or revoked, or its user disabled: the caller
   * must check.
   */
  tokenByHash(tokenSha256: string): Promise<{ token: Token; user?: User } | undefined>
  token(id: string): Promise<Token | undefined>
  /** Returns tokens, oldest first, including revoked ones. */
  tokens(filter?: { user_id?: string; tenant?: string }): Promise<Token[]>
  /**
   * Revokes a token with all that it has made, directly or indirectly. Idempotent: the first time stays. False: it did
   * not exist.
   */
  revokeToken(id: string, at: string): Promise<boolean>
  /** Turns the token into one with `as_login`. */
  countAsLogin(id: string): Promise<void>
  /**
   * Stores the new token of a runner and marks the `enroll` token as used for it, in one commit. Of two calls for one
   * `enroll` token, one succeeds. False: it was used or revoked before, and nothing is stored.
   */
  exchangeToken(enrollId: string, made: NewToken & { runner_id: string }): Promise<boolean>
  /** Revokes the `runner` tokens of a tenant that are only for this runner; returns how many. */
  revokeRunnerTokens(runner: TenantRunner, at: string): Promise<number>
  /**
   * Deletes tokens that were revoked or used up, or have expired, before that time, except those with one of these
   * names; returns how many.
   */
  forgetTokens(before: string, butNamed?: readonly string[]): Promise<number>
  /** Records the use, at most once a minute for a token. Never throws or waits; a failed write is ignored. */
  touchToken(id: string, at: string): void

  /**
   * Claims the key unless this owner already has it: then returns the existing claim and changes nothing. Of two
   * simultaneous calls one succeeds. Keys older than `IDEMPOTENCY_KEPT_MS` count as gone and are deleted here. After a
   * crash a key may name a run that was never created.
   */
  claimKey(key: IdempotencyKey): Promise<IdempotencyKey | undefined>
  /** Releases a claim, after its request was refused. */
  releaseKey(owner: string, key: string): Promise<void>
  /** Deletes the keys of these runs, which were removed. */
  forgetKeys(runIds: readonly string[]): Promise<void>

  /** Stores what was seen; `first_seen_at` of a known runner is unchanged. */
  saveRunner(runner: SeenRunner): Promise<void>
  /** Returns runners by id, then tenant. */
  runners(): Promise<SeenRunner[]>
  /** Returns false when the runner did not exist. */
  removeRunner(runner: TenantRunner): Promise<boolean>

  setting(key: string): Promise<string | undefined>
  setSetting(key: string, value: string): Promise<void>
  /** Stores the value unless there is one already; returns the stored value. */
  initSetting(key: string, value: string): Promise<string>
}
