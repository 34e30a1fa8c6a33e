import type { SQLOutputValue } from 'node:sqlite'
import type { SqlSession } from './session.ts'

/** Identifies the data of an owner's bot. */
export interface DataOfBot {
  tenant: string
  owner: string
  bot_id: string
}

/** The place of a bot's data: known from its first start with data until the data is removed. */
export interface StoredData extends DataOfBot {
  runner: string
  path: string
  limit_bytes: number
  created_at: string
}

/**
 * Stores the places of bots' data. Each call is one commit, and resolves after it. All reject with `store_failed` or
 * `disk_full`.
 */
export interface BotDataStore {
  /** Replaces an existing entry, whose `created_at` stays. */
  put(data: StoredData): Promise<void>
  get(of: DataOfBot): Promise<StoredData | undefined>
  /** Returns entries by owner, then bot; without an owner those of the whole tenant. */
  list(of: { tenant: string; owner?: string }): Promise<StoredData[]>
  remove(of: DataOfBot): Promise<void>
}

const OF = 'tenant = ? AND owner = ? AND bot_id = ?'
const values = ({ tenant, owner, bot_id }: DataOfBot) => [tenant, owner, bot_id]

const rowData = (row: Record<string, SQLOutputValue>): StoredData => ({
  tenant: String(row.tenant),
  owner: String(row.owner),
  bot_id: String(row.bot_id),
  runner: String(row.runner),
  path: String(row.path),
  limit_bytes: Number(row.limit_bytes),
  created_at: String(row.created_at),
})

export const sqliteBotData = (session: SqlSession): BotDataStore => ({
  async put(data) {
    const { runner, path, limit_bytes, created_at } = data
    const sql = `INSERT INTO bot_data (tenant, owner, bot_id, runner, path, limit_bytes, created_at)
      VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET runner = excluded.runner, path = excluded.path, limit_bytes = excluded.limit_bytes`
    await session.write(() => session.run(sql, ...values(data), runner, path, limit_bytes, created_at))
  },

  async get(of) {
    const row = session.read(() => session.get(`SELECT * FROM bot_data WHERE ${OF}`, ...values(of)))
    return row && rowData(row)
  },

  async list({ tenant, owner }) {
    const where = owner === undefined ? 'tenant = ?' : 'tenant = ? AND owner = ?'
    const sql = `SELECT * FROM bot_data WHERE ${where} ORDER BY owner, bot_id`
    const of = owner === undefined ? [tenant] : [tenant, owner]
    return session.read(() => session.all(sql, ...of)).map(rowData)
  },

  async remove(of) {
    await session.write(() => session.run(`DELETE FROM bot_data WHERE ${OF}`, ...values(of)))
  },
})
