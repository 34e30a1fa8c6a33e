import { ErrandError } from '../../../contract/errors.ts'
import type { AccountStore, User } from '../accounts.ts'
import { rowSession, rowUser } from './account-rows.ts'
import type { Session } from './session.ts'

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
>

const byId = 'SELECT * FROM users WHERE id = ?'
const byName = 'SELECT * FROM users WHERE tenant = ? AND name = ?'

export const sqliteUsers = (session: Session): Users => ({
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

  deleteUser: (id) => session.write(() => session.run('DELETE FROM users WHERE id = ?', id) > 0),

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
})

const userExists = (user: User): ErrandError =>
  new ErrandError('conflict', `There is a user ${user.name} already.`, { hint: 'Choose another name.' })

export const userNotFound = (id: string): ErrandError =>
  new ErrandError('not_found', `There is no user ${id}.`, { hint: 'List the users to see their ids.' })
