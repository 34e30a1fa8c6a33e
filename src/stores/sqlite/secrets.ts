import type { SQLOutputValue } from 'node:sqlite'
import type { SecretPlace, SecretStore, StoredScope, StoredSecret } from '../secrets/secret-store.ts'
import type { SqlSession } from './session.ts'

const PLACE = 'tenant = ? AND name = ? AND scope = ? AND scope_name = ? AND owner = ?'
const placeValues = ({ tenant, name, scope, scope_name, owner = '' }: SecretPlace) => [
  ...[tenant, name, scope, scope_name, owner],
]

const rowSecret = (row: Record<string, SQLOutputValue>): StoredSecret => ({
  tenant: String(row.tenant),
  name: String(row.name),
  scope: String(row.scope) as StoredScope,
  scope_name: String(row.scope_name),
  ...(row.owner === '' ? {} : { owner: String(row.owner) }),
  sealed: row.sealed as Uint8Array,
  key_id: String(row.key_id),
  ...(row.hosts === null ? {} : { hosts: JSON.parse(String(row.hosts)) as string[] }),
  created_at: String(row.created_at),
  created_by: String(row.created_by),
  updated_at: String(row.updated_at),
  updated_by: String(row.updated_by),
})

export const sqliteSecrets = (session: SqlSession): SecretStore => {
  const find = (place: SecretPlace) => {
    const row = session.get(`SELECT * FROM secrets WHERE ${PLACE}`, ...placeValues(place))
    return row && rowSecret(row)
  }
  return {
    put: (secret) =>
      session.write(() => {
        const { sealed, key_id, hosts, created_at, created_by, updated_at, updated_by } = secret
        session.run(
          `INSERT INTO secrets (tenant, name, scope, scope_name, owner, sealed, key_id, hosts, created_at,
             created_by, updated_at, updated_by)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id,
             hosts = coalesce(excluded.hosts, hosts), updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
          ...placeValues(secret),
          ...[sealed, key_id, hosts ? JSON.stringify(hosts) : null],
          ...[created_at, created_by, updated_at, updated_by],
        )
        return find(secret)!
      }),

    setHosts: (place, { hosts, updated_at, updated_by }) =>
      session.write(() => {
        session.run(
          `UPDATE secrets SET hosts = ?, updated_at = ?, updated_by = ? WHERE ${PLACE}`,
          ...[JSON.stringify(hosts), updated_at, updated_by],
          ...placeValues(place),
        )
        return find(place)
      }),

    get: async (place) => session.read(() => find(place)),

    async named(tenant, name) {
      const sql = `SELECT * FROM secrets WHERE tenant = ? AND name = ? AND scope NOT IN ('run', 'place', 'hub')`
      return session.read(() => session.all(sql, tenant, name)).map(rowSecret)
    },

    async list({ tenant, name, scope, scope_name, owner }) {
      const filters = Object.entries({ tenant, name, scope, scope_name, owner }).filter(
        ([, value]) => value !== undefined,
      )
      const where = filters.map(([column]) => `${column} = ?`).join(' AND ') || 'TRUE'
      const sql = `SELECT * FROM secrets WHERE ${where} ORDER BY tenant, name, scope, scope_name, owner`
      return session.read(() => session.all(sql, ...filters.map(([, value]) => value!))).map(rowSecret)
    },

    remove: (place) =>
      session.write(() => session.run(`DELETE FROM secrets WHERE ${PLACE}`, ...placeValues(place)) > 0),

    reseal: async (before, sealed, key_id) => {
      const sql = `UPDATE secrets SET sealed = ?, key_id = ? WHERE ${PLACE} AND sealed = ?`
      await session.write(() => session.run(sql, sealed, key_id, ...placeValues(before), before.sealed))
    },
  }
}
