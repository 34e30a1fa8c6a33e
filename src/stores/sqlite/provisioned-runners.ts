import type { SQLOutputValue } from 'node:sqlite'
import type { Pool, ProvisionedRunner } from '../../contract/fleet/provisioning.ts'
import type { SqlSession } from './session.ts'

/** A provisioned runner, with what the hub knows of it in addition to what people see. */
export interface ProvisionedRow extends ProvisionedRunner {
  /** The part of its name that its earlier and later tries share. */
  stem: string
  /** Identifies what its steps have in common when they share a workspace. Absent: provisioned ahead of need. */
  workspace?: string | undefined
  /** Time by which it must be connected. */
  due_at: string
  /** The group's settings at its creation. The runner is removed when the group now has others, or no longer exists. */
  pool: Pool
}

/**
 * Stores provisioned runners. Each call is one commit, and resolves after it. All reject with `store_failed` or
 * `disk_full`.
 */
export interface ProvisionedRunnerStore {
  /** Replaces what was stored under its name. */
  save(row: ProvisionedRow): Promise<void>
  /** Returns all stored rows, by the time of their creation. */
  all(): Promise<ProvisionedRow[]>
  /** Deletes the rows of runners that were removed before that time. */
  forget(before: string): Promise<void>
}

const rowOf = ({ record }: Record<string, SQLOutputValue>): ProvisionedRow =>
  JSON.parse(String(record)) as ProvisionedRow

export const sqliteProvisionedRunners = (session: SqlSession): ProvisionedRunnerStore => ({
  async save(row) {
    const { name, state, created_at, changed_at } = row
    const sql =
      'INSERT OR REPLACE INTO provisioned_runners (name, state, created_at, changed_at, record) VALUES (?, ?, ?, ?, ?)'
    await session.write(() => session.run(sql, name, state, created_at, changed_at, JSON.stringify(row)))
  },
  all: async () =>
    session
      .read(() => session.all('SELECT record FROM provisioned_runners ORDER BY created_at, name'))
      .map(rowOf),
  async forget(before) {
    const sql = "DELETE FROM provisioned_runners WHERE state = 'removed' AND changed_at < ?"
    await session.write(() => session.run(sql, before))
  },
})
