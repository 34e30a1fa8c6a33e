import { type AccountStore, IDEMPOTENCY_KEPT_MS } from '../accounts.ts'
import { rowKey } from './account-rows.ts'
import type { Session } from './session.ts'

type Keys = Pick<AccountStore, 'claimKey' | 'releaseKey' | 'forgetKeys'>

export const sqliteIdempotencyKeys = (session: Session): Keys => ({
  claimKey: (claim) =>
    session.write(() => {
      const { owner, key, request_hash, run_id, created_at } = claim
      const oldest = new Date(Date.parse(created_at) - IDEMPOTENCY_KEPT_MS).toISOString()
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
