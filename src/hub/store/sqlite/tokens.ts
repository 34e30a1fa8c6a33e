import { ErrandError } from '../../../contract/errors.ts'
import type { AccountStore, NewToken } from '../accounts.ts'
import { rowToken, rowUser } from './account-rows.ts'
import { seenThrottle } from './seen-throttle.ts'
import type { Session } from './session.ts'
import { userNotFound } from './users.ts'

type Tokens = Pick<
  AccountStore,
  | 'createToken'
  | 'tokenByHash'
  | 'token'
  | 'tokens'
  | 'revokeToken'
  | 'exchangeToken'
  | 'revokeRunnerTokens'
  | 'forgetTokens'
  | 'touchToken'
>

const userById = 'SELECT * FROM users WHERE id = ?'

export const sqliteTokens = (session: Session): Tokens => {
  const touch = seenThrottle(session, 'UPDATE tokens SET last_used_at = ? WHERE id = ?')
  const insert = (token: NewToken): void => {
    const { id, name, user_id, tenant, created_by, scope, token_sha256, created_at, expires_at } = token
    if (user_id !== undefined && session.get(userById, user_id) === undefined) throw userNotFound(user_id)
    if (session.get('SELECT id FROM tokens WHERE id = ? OR token_sha256 = ?', id, token_sha256) !== undefined)
      throw new ErrandError('conflict', `There is a token ${id} already.`, { hint: 'Make another token.' })
    session.run(
      `INSERT INTO tokens (id, name, user_id, tenant, created_by, scope, token_sha256, created_at, expires_at,
         runner_group, runner_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[id, name, user_id ?? null, tenant ?? null, created_by ?? null, scope, token_sha256, created_at],
      ...[expires_at ?? null, token.group ?? null, token.runner_id ?? null],
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

    revokeToken: (id, at) =>
      session.write(
        () => session.run('UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?', at, id) > 0,
      ),

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
