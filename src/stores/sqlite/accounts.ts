import type { SQLOutputValue } from 'node:sqlite'
import type { Permission } from '../../contract/account-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import {
  type AccountStore,
  IDEMPOTENCY_RETENTION_MS,
  type IdempotencyKey,
  type NewToken,
  type Role,
  type SeenRunner,
  type Session,
  type Token,
  type TokenScope,
  type User,
} from '../accounts.ts'
import type { SqlSession } from './session.ts'

type Users = Pick<
  AccountStore,
  | 'createUser'
  | 'user'
  | 'userByName'
  | 'users'
  | 'updateUser'
  | 'deleteUser'
  | 'createSession'
  | 'session'
  | 'deleteSession'
  | 'deleteSessionsOf'
>

const byId = 'SELECT * FROM users WHERE id = ?'
const byName = 'SELECT * FROM users WHERE tenant = ? AND name = ?'

/** Revokes a token with all that it has made. Parameters: its id, the time. */
const REVOKE = `WITH RECURSIVE made (id) AS (
    SELECT id FROM tokens WHERE id = ?1 UNION SELECT tokens.id FROM tokens JOIN made ON tokens.made_by = made.id
  ) UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id IN (SELECT id FROM made)`

export const sqliteUsers = (session: SqlSession): Users => ({
  createUser: (user) =>
    session.write(() => {
      if (session.get(byId, user.id) ?? session.get(byName, user.tenant, user.name)) throw userExists(user)
      const { id, name, role, tenant, password_hash, created_at, disabled } = user
      session.run(
        'INSERT INTO users (id, name, role, tenant, password_hash, created_at, disabled) VALUES (?, ?, ?, ?, ?, ?, ?)',
        ...[id, name, role, tenant, password_hash, created_at],
        disabled ? 1 : 0,
      )
    }),

  async user(id) {
    const row = session.read(() => session.get(byId, id))
    return row && rowUser(row)
  },

  async userByName({ tenant, name }) {
    const row = session.read(() => session.get(byName, tenant, name))
    return row && rowUser(row)
  },

  async users(filter = {}) {
    const tenant = filter.tenant ?? null
    const sql = 'SELECT * FROM users WHERE ? IS NULL OR tenant = ? ORDER BY name, tenant'
    return session.read(() => session.all(sql, tenant, tenant)).map(rowUser)
  },

  updateUser: (id, patch) =>
    session.write(() => {
      const row = session.get(byId, id)
      if (row === undefined) throw userNotFound(id)
      const before = rowUser(row)
      const user: User = {
        ...before,
        role: patch.role ?? before.role,
        password_hash: patch.password_hash ?? before.password_hash,
        disabled: patch.disabled ?? before.disabled,
      }
      session.run(
        'UPDATE users SET role = ?, password_hash = ?, disabled = ? WHERE id = ?',
        ...[user.role, user.password_hash, user.disabled ? 1 : 0, id],
      )
      return user
    }),

  deleteUser: (id) =>
    session.write(() => {
      const at = new Date().toISOString()
      for (const token of session.all('SELECT id FROM tokens WHERE user_id = ?', id))
        session.run(REVOKE, String(token.id), at)
      return session.run('DELETE FROM users WHERE id = ?', id) > 0
    }),

  createSession: ({ id, user_id, created_at, expires_at }) =>
    session.write(() => {
      if (session.get(byId, user_id) === undefined) throw userNotFound(user_id)
      session.run('DELETE FROM sessions WHERE expires_at < ?', created_at)
      session.run('INSERT INTO sessions VALUES (?, ?, ?, ?)', id, user_id, created_at, expires_at)
    }),

  session: async (id) =>
    session.read(() => {
      const row = session.get('SELECT * FROM sessions WHERE id = ?', id)
      return row && { session: rowSession(row), user: rowUser(session.get(byId, String(row.user_id))!) }
    }),

  deleteSession: (id) => session.write(() => session.run('DELETE FROM sessions WHERE id = ?', id) > 0),
  async deleteSessionsOf(userId) {
    await session.write(() => session.run('DELETE FROM sessions WHERE user_id = ?', userId))
  },
})

const userExists = (user: User): ErrandError =>
  new ErrandError('conflict', `User ${user.name} already exists.`, { hint: 'Choose another name.' })

const userNotFound = (id: string): ErrandError =>
  new ErrandError('not_found', `User ${id} not found.`, { hint: 'List the users to see their ids.' })

type Row = Record<string, SQLOutputValue>

const text = (row: Row, column: string): string => String(row[column])
const optional = <K extends string>(key: K, value: SQLOutputValue | undefined): { [k in K]?: string } =>
  (value === null || value === undefined ? {} : { [key]: String(value) }) as { [k in K]?: string }

const rowUser = (row: Row): User => ({
  id: text(row, 'id'),
  name: text(row, 'name'),
  role: text(row, 'role') as Role,
  tenant: text(row, 'tenant'),
  password_hash: text(row, 'password_hash'),
  created_at: text(row, 'created_at'),
  disabled: row.disabled === 1,
})

const rowSession = (row: Row): Session => ({
  id: text(row, 'id'),
  user_id: text(row, 'user_id'),
  created_at: text(row, 'created_at'),
  expires_at: text(row, 'expires_at'),
})

const rowToken = (row: Row): Token => ({
  id: text(row, 'id'),
  name: text(row, 'name'),
  ...optional('user_id', row.user_id),
  ...optional('tenant', row.tenant),
  ...optional('created_by', row.created_by),
  scope: text(row, 'scope') as TokenScope,
  ...(row.allow === null ? {} : { allow: JSON.parse(text(row, 'allow')) as Permission[] }),
  ...optional('made_by', row.made_by),
  ...(row.as_login === 1 ? { as_login: true as const } : {}),
  token_sha256: text(row, 'token_sha256'),
  created_at: text(row, 'created_at'),
  ...optional('last_used_at', row.last_used_at),
  ...optional('expires_at', row.expires_at),
  ...optional('revoked_at', row.revoked_at),
  ...optional('group', row.runner_group),
  ...optional('runner_id', row.runner_id),
  ...optional('used_at', row.used_at),
})

const rowKey = (row: Row): IdempotencyKey => ({
  key: text(row, 'key'),
  owner: text(row, 'owner'),
  request_hash: text(row, 'request_hash'),
  run_id: text(row, 'run_id'),
  created_at: text(row, 'created_at'),
})

const rowRunner = (row: Row): SeenRunner => ({
  id: text(row, 'id'),
  group: text(row, 'runner_group'),
  hostname: text(row, 'hostname'),
  cpus: Number(row.cpus),
  memory_bytes: Number(row.memory_bytes),
  labels: JSON.parse(text(row, 'labels')) as Record<string, string>,
  mode: text(row, 'mode'),
  version: text(row, 'version'),
  slots: Number(row.slots),
  tenant: text(row, 'tenant'),
  draining: row.draining === 1,
  first_seen_at: text(row, 'first_seen_at'),
  last_seen_at: text(row, 'last_seen_at'),
})

type Tokens = Pick<
  AccountStore,
  | 'createToken'
  | 'tokenByHash'
  | 'token'
  | 'tokens'
  | 'revokeToken'
  | 'countAsLogin'
  | 'exchangeToken'
  | 'revokeRunnerTokens'
  | 'forgetTokens'
  | 'touchToken'
>

const userById = 'SELECT * FROM users WHERE id = ?'

export const sqliteTokens = (session: SqlSession): Tokens => {
  const touch = seenThrottle(session, 'UPDATE tokens SET last_used_at = ? WHERE id = ?')
  const insert = (token: NewToken): void => {
    const { id, name, user_id, tenant, created_by, scope, token_sha256, created_at, expires_at } = token
    const { allow, made_by, as_login = false } = token
    if (user_id !== undefined && session.get(userById, user_id) === undefined) throw userNotFound(user_id)
    const sql = 'SELECT id FROM tokens WHERE id = ? AND revoked_at IS NULL'
    if (made_by !== undefined && session.get(sql, made_by) === undefined)
      throw new ErrandError('token_revoked', 'The token that creates this one was revoked.', {
        hint: 'Create it with another token, or log in: errand login',
      })
    if (session.get('SELECT id FROM tokens WHERE id = ? OR token_sha256 = ?', id, token_sha256) !== undefined)
      throw new ErrandError('conflict', `Token ${id} already exists.`, { hint: 'Create another token.' })
    session.run(
      `INSERT INTO tokens (id, name, user_id, tenant, created_by, scope, token_sha256, created_at, expires_at,
         runner_group, runner_id, allow, made_by, as_login)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[id, name, user_id ?? null, tenant ?? null, created_by ?? null, scope, token_sha256, created_at],
      ...[expires_at ?? null, token.group ?? null, token.runner_id ?? null],
      ...[allow ? JSON.stringify(allow) : null, made_by ?? null, as_login ? 1 : 0],
    )
  }
  return {
    createToken: (token) => session.write(() => insert(token)),

    exchangeToken: (enrollId, made) =>
      session.write(() => {
        const sql =
          'UPDATE tokens SET used_at = ?, runner_id = ? WHERE id = ? AND used_at IS NULL AND revoked_at IS NULL'
        if (session.run(sql, made.created_at, made.runner_id, enrollId) === 0) return false
        insert(made)
        return true
      }),

    async tokenByHash(tokenSha256) {
      return session.read(() => {
        const row = session.get('SELECT * FROM tokens WHERE token_sha256 = ?', tokenSha256)
        if (row === undefined) return undefined
        const token = rowToken(row)
        if (token.user_id === undefined) return { token }
        return { token, user: rowUser(session.get(userById, token.user_id)!) }
      })
    },

    async token(id) {
      const row = session.read(() => session.get('SELECT * FROM tokens WHERE id = ?', id))
      return row && rowToken(row)
    },

    async tokens(filter = {}) {
      const [user, tenant] = [filter.user_id ?? null, filter.tenant ?? null]
      const sql = `SELECT tokens.* FROM tokens LEFT JOIN users ON users.id = tokens.user_id
        WHERE (? IS NULL OR user_id = ?) AND (? IS NULL OR coalesce(tokens.tenant, users.tenant) = ?)
        ORDER BY tokens.created_at, tokens.id`
      return session.read(() => session.all(sql, user, user, tenant, tenant)).map(rowToken)
    },

    revokeToken: (id, at) => session.write(() => session.run(REVOKE, id, at) > 0),

    async countAsLogin(id) {
      await session.write(() => session.run('UPDATE tokens SET as_login = 1 WHERE id = ?', id))
    },

    revokeRunnerTokens: ({ tenant, id }, at) =>
      session.write(() =>
        session.run(
          `UPDATE tokens SET revoked_at = ? WHERE runner_id = ? AND scope = 'runner' AND revoked_at IS NULL
           AND (tenant = ? OR user_id IN (SELECT id FROM users WHERE tenant = ?))`,
          ...[at, id, tenant, tenant],
        ),
      ),

    forgetTokens: (before, butNamed = []) =>
      session.write(() =>
        session.run(
          `DELETE FROM tokens WHERE (revoked_at < ?1 OR used_at < ?1 OR expires_at < ?1)
           AND name NOT IN (SELECT value FROM json_each(?2))`,
          ...[before, JSON.stringify(butNamed)],
        ),
      ),

    touchToken: touch,
  }
}

type Runners = Pick<AccountStore, 'saveRunner' | 'runners' | 'removeRunner'>

export const sqliteSeenRunners = (session: SqlSession): Runners => ({
  async saveRunner(runner) {
    const { id, group, hostname, cpus, memory_bytes, labels, mode, version, slots, tenant, draining } = runner
    await session.write(() =>
      session.run(
        `INSERT INTO runners (id, runner_group, hostname, cpus, memory_bytes, labels, mode, version, slots, tenant,
           draining, first_seen_at, last_seen_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (tenant, id) DO UPDATE SET runner_group = excluded.runner_group, hostname = excluded.hostname,
           cpus = excluded.cpus, memory_bytes = excluded.memory_bytes, labels = excluded.labels,
           mode = excluded.mode, version = excluded.version, slots = excluded.slots,
           draining = excluded.draining, last_seen_at = excluded.last_seen_at`,
        ...[id, group, hostname, cpus, memory_bytes, JSON.stringify(labels), mode, version, slots],
        ...[tenant, draining ? 1 : 0, runner.first_seen_at, runner.last_seen_at],
      ),
    )
  },

  async runners() {
    return session.read(() => session.all('SELECT * FROM runners ORDER BY id, tenant')).map(rowRunner)
  },

  removeRunner: ({ tenant, id }) =>
    session.write(() => session.run('DELETE FROM runners WHERE tenant = ? AND id = ?', tenant, id) > 0),
})

const THROTTLE_MS = 60_000

/**
 * Makes a function that records a sighting by `sql` (parameters: time, id), at most once a minute for each id, so that
 * not every request costs a commit.
 */
function seenThrottle(session: SqlSession, sql: string): (id: string, at: string) => void {
  const notedMs = new Map<string, number>()
  return (id, at) => {
    const atMs = Date.parse(at)
    if (atMs - (notedMs.get(id) ?? Number.NEGATIVE_INFINITY) < THROTTLE_MS) return
    notedMs.set(id, atMs)
    // Losing one makes the time a minute less exact. A lasting failure is reported to the next caller who needs a
    // commit.
    session.write(() => session.run(sql, at, id)).catch(() => notedMs.delete(id))
  }
}

type Keys = Pick<AccountStore, 'claimKey' | 'releaseKey' | 'forgetKeys'>

export const sqliteIdempotencyKeys = (session: SqlSession): Keys => ({
  claimKey: (claim) =>
    session.write(() => {
      const { owner, key, request_hash, run_id, created_at } = claim
      const oldest = new Date(Date.parse(created_at) - IDEMPOTENCY_RETENTION_MS).toISOString()
      session.run('DELETE FROM idempotency_keys WHERE created_at < ?', oldest)
      const row = session.get('SELECT * FROM idempotency_keys WHERE owner = ? AND key = ?', owner, key)
      if (row !== undefined) return rowKey(row)
      session.run(
        'INSERT INTO idempotency_keys (owner, key, request_hash, run_id, created_at) VALUES (?, ?, ?, ?, ?)',
        ...[owner, key, request_hash, run_id, created_at],
      )
      return undefined
    }),

  async releaseKey(owner, key) {
    await session.write(() =>
      session.run('DELETE FROM idempotency_keys WHERE owner = ? AND key = ?', owner, key),
    )
  },

  async forgetKeys(runIds) {
    await session.write(() =>
      session.run(
        'DELETE FROM idempotency_keys WHERE run_id IN (SELECT value FROM json_each(?))',
        JSON.stringify(runIds),
      ),
    )
  },
})

type Settings = Pick<AccountStore, 'setting' | 'setSetting' | 'initSetting'>

const select = 'SELECT value FROM settings WHERE key = ?'

export const sqliteSettings = (session: SqlSession): Settings => ({
  async setting(key) {
    const row = session.read(() => session.get(select, key))
    return row && String(row.value)
  },

  async setSetting(key, value) {
    const sql =
      'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value'
    await session.write(() => session.run(sql, key, value))
  },

  initSetting: (key, value) =>
    session.write(() => {
      session.run('INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING', key, value)
      return String(session.get(select, key)?.value)
    }),
})
