import { ErrandError } from '../../../contract/errors.ts'
import type { AccountStore } from '../accounts.ts'
import { rowToken, rowUser } from './account-rows.ts'
import { seenThrottle } from './seen-throttle.ts'
import type { Session } from './session.ts'
import { userNotFound } from './users.ts'

type Tokens = Pick<
  AccountStore,
  'createToken' | 'tokenByHash' | 'token' | 'tokens' | 'revokeToken' | 'touchToken'
>

const userById = 'SELECT * FROM users WHERE id = ?'

export const sqliteTokens = (session: Session): Tokens => {
  const touch = seenThrottle(session, 'UPDATE tokens SET last_used_at = ? WHERE id = ?')
  return {
    createToken: (token) =>
      session.write(() => {
        if (session.get(userById, token.user_id) === undefined) throw userNotFound(token.user_id)
        const { id, name, user_id, scope, token_sha256, created_at, expires_at, group } = token
        if (
          session.get('SELECT id FROM tokens WHERE id = ? OR token_sha256 = ?', id, token_sha256) !==
          undefined
        )
          throw new ErrandError('conflict', `There is a token ${id} already.`, {
            hint: 'Make another token.',
          })
        session.run(
          `INSERT INTO tokens (id, name, user_id, scope, token_sha256, created_at, expires_at, runner_group)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
          ...[id, name, user_id, scope, token_sha256, created_at, expires_at ?? null, group ?? null],
        )
      }),

    async tokenByHash(tokenSha256) {
      return session.read(() => {
        const row = session.get('SELECT * FROM tokens WHERE token_sha256 = ?', tokenSha256)
        if (row === undefined) return undefined
        const token = rowToken(row)
        return { token, user: rowUser(session.get(userById, token.user_id)!) }
      })
    },

    async token(id) {
      const row = session.read(() => session.get('SELECT * FROM tokens WHERE id = ?', id))
      return row && rowToken(row)
    },

    async tokens(filter = {}) {
      const [user, tenant] = [filter.user_id ?? null, filter.tenant ?? null]
      const sql = `SELECT tokens.* FROM tokens JOIN users ON users.id = tokens.user_id
        WHERE (? IS NULL OR user_id = ?) AND (? IS NULL OR tenant = ?) ORDER BY tokens.created_at, tokens.id`
      return session.read(() => session.all(sql, user, user, tenant, tenant)).map(rowToken)
    },

    revokeToken: (id, at) =>
      session.write(
        () => session.run('UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?', at, id) > 0,
      ),

    touchToken: touch,
  }
}
