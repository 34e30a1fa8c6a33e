import type { AccountStore } from '../accounts.ts'
import { rowRunner } from './account-rows.ts'
import type { Session } from './session.ts'

type Runners = Pick<AccountStore, 'saveRunner' | 'runners' | 'removeRunner'>

export const sqliteSeenRunners = (session: Session): Runners => ({
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
