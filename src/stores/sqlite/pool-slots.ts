import type { SQLOutputValue } from 'node:sqlite'
import type { SqlSession } from './session.ts'

/** A slot of a runner that another system holds, or has held. */
export interface PoolSlot {
  slot_id: string
  tenant: string
  owner: string
  required_by: string
  /** The address as it was requested. */
  repo_url: string
  runner: string
  slot_path: string
  /** Identifies the lease. */
  fence: string
  lease_expires_at: string
  /** Set once it is given back. */
  is_released: boolean
}

/** Stores slots. Each call is one commit, and resolves after it. All reject with `store_failed` or `disk_full`. */
export interface PoolSlotStore {
  add(slot: PoolSlot): Promise<void>
  get(slotId: string): Promise<PoolSlot | undefined>
  /** Returns the unreleased slot with the latest lease. */
  held(by: Pick<PoolSlot, 'tenant' | 'owner' | 'required_by' | 'repo_url'>): Promise<PoolSlot | undefined>
  /** Counts an owner's slots whose lease lasts beyond that time. */
  count(by: Pick<PoolSlot, 'tenant' | 'owner'>, after: string): Promise<number>
  renew(slotId: string, leaseExpiresAt: string): Promise<void>
  release(slotId: string): Promise<void>
  /** Deletes slots whose lease ended before that time. */
  forget(before: string): Promise<void>
}

const rowSlot = (row: Record<string, SQLOutputValue>): PoolSlot => ({
  slot_id: String(row.slot_id),
  tenant: String(row.tenant),
  owner: String(row.owner),
  required_by: String(row.required_by),
  repo_url: String(row.repo_url),
  runner: String(row.runner),
  slot_path: String(row.slot_path),
  fence: String(row.fence),
  lease_expires_at: String(row.lease_expires_at),
  is_released: row.is_released === 1,
})

export const sqlitePoolSlots = (session: SqlSession): PoolSlotStore => {
  const change = async (sql: string, ...values: string[]) => {
    await session.write(() => session.run(sql, ...values))
  }
  const find = (sql: string, ...values: string[]) => {
    const row = session.read(() => session.get(sql, ...values))
    return row && rowSlot(row)
  }
  return {
    async add(slot) {
      const { slot_id, tenant, owner, required_by, repo_url, runner, slot_path, fence, lease_expires_at } =
        slot
      const sql = `INSERT INTO pool_slots
        (slot_id, tenant, owner, required_by, repo_url, runner, slot_path, fence, lease_expires_at, is_released)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`
      const values = [slot_id, tenant, owner, required_by, repo_url, runner, slot_path, fence]
      await change(sql, ...values, lease_expires_at)
    },
    get: async (slotId) => find('SELECT * FROM pool_slots WHERE slot_id = ?', slotId),
    held: async ({ tenant, owner, required_by, repo_url }) =>
      find(
        `SELECT * FROM pool_slots
          WHERE tenant = ? AND owner = ? AND required_by = ? AND repo_url = ? AND is_released = 0
          ORDER BY lease_expires_at DESC LIMIT 1`,
        ...[tenant, owner, required_by, repo_url],
      ),
    async count({ tenant, owner }, after) {
      const sql = `SELECT count(*) AS held FROM pool_slots
        WHERE tenant = ? AND owner = ? AND is_released = 0 AND lease_expires_at > ?`
      return Number(session.read(() => session.get(sql, tenant, owner, after))?.held)
    },
    renew: (slotId, until) =>
      change('UPDATE pool_slots SET lease_expires_at = ? WHERE slot_id = ?', until, slotId),
    release: (slotId) => change('UPDATE pool_slots SET is_released = 1 WHERE slot_id = ?', slotId),
    forget: (before) => change('DELETE FROM pool_slots WHERE lease_expires_at < ?', before),
  }
}
