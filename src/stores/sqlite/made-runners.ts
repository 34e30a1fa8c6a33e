import type { SQLOutputValue } from 'node:sqlite'
import type { MadeRunner, Pool } from '../../contract/fleet/provisioning.ts'
import type { Migration } from './database.ts'
import type { SqlSession } from './session.ts'

/** A made runner, and what the hub knows of it beside what people see. */
export interface MadeRow extends MadeRunner {
  /** The part of its name that its earlier and later tries have too. */
  stem: string
  /** Of the steps that share it: names what they have in common. Absent: made ahead of need. */
  workspace?: string | undefined
  /** By then it must be connected. */
  due_at: string
  /** Its group's settings when it was made: by them it is taken away where the group has others now, or none. */
  pool: Pool
}

/** Each call is one commit, and resolves after it. All reject with `store_failed` or `disk_full`. */
export interface MadeRunnerStore {
  /** Puts it in the place of what was kept under its name. */
  save(row: MadeRow): Promise<void>
  /** All that are kept, by the time they were made. */
  all(): Promise<MadeRow[]>
  /** Takes those away that were removed before then. */
  forget(before: string): Promise<void>
}

export const madeRunnerMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'runners that the hub has made',
    sql: `
      CREATE TABLE made_runners (
        name TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        created_at TEXT NOT NULL,
        changed_at TEXT NOT NULL,
        row TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
]

const rowOf = ({ row }: Record<string, SQLOutputValue>): MadeRow => JSON.parse(String(row)) as MadeRow

export const sqliteMadeRunners = (session: SqlSession): MadeRunnerStore => ({
  async save(row) {
    const { name, state, created_at, changed_at } = row
    const sql =
      'INSERT OR REPLACE INTO made_runners (name, state, created_at, changed_at, row) VALUES (?, ?, ?, ?, ?)'
    await session.write(() => session.run(sql, name, state, created_at, changed_at, JSON.stringify(row)))
  },
  all: async () =>
    session.read(() => session.all('SELECT row FROM made_runners ORDER BY created_at, name')).map(rowOf),
  async forget(before) {
    const sql = "DELETE FROM made_runners WHERE state = 'removed' AND changed_at < ?"
    await session.write(() => session.run(sql, before))
  },
})
