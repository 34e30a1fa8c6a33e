import type { SQLOutputValue } from 'node:sqlite'
import type { SavedView, ViewFilter } from '../../contract/runs/saved-views.ts'
import type { SqlSession } from './session.ts'

/** A named filter of the list of runs. */
export type View = Omit<SavedView, 'may_change'> & { user_id: string; tenant: string }

/** The user whose failures are meant. */
export interface Looker {
  id: string
  name: string
  tenant: string
}

/**
 * Stores saved views, and which failures a person has looked at. Each call is one commit. All reject with
 * `store_failed` or `disk_full`.
 */
export interface PersonalStore {
  /** Returns the views of the user and those shared in the tenant, by name. */
  views(user: Pick<Looker, 'id' | 'tenant'>): Promise<View[]>
  view(id: string): Promise<View | undefined>
  /**
   * Saves a view. Returns false, and changes nothing, when another view has this name: one of the user's or, for a
   * shared view, one of the tenant's.
   */
  keepView(view: Omit<View, 'owner'>): Promise<boolean>
  dropView(id: string): Promise<void>
  /**
   * Returns the ids of the newest tries that failed or were interrupted and were not looked at, the latest end first.
   */
  failures(user: Looker, limit: number): Promise<string[]>
  /** Marks runs as seen. Returns the time until which everything is seen by now. */
  markSeen(user: Looker, runIds: readonly string[], now: Date): Promise<string>
  /** Marks everything that ended until then, as `markSeen` does. */
  markSeenUntil(user: Looker, until: string): Promise<string>
}

type Row = Record<string, SQLOutputValue>

const rowView = (row: Row): View => ({
  id: String(row.id),
  user_id: String(row.user_id),
  tenant: String(row.tenant),
  owner: String(row.owner),
  name: String(row.name),
  filter: JSON.parse(String(row.filter)) as ViewFilter,
  shared: row.shared === 1,
  created_at: String(row.created_at),
})

const VIEWS = 'SELECT views.*, users.name AS owner FROM views JOIN users ON users.id = views.user_id'

/** Worded exactly as in the index; otherwise SQLite does not use it. */
const FAILED = `runs WHERE tenant = ? AND owner = ? AND finished_at > ?
  AND parent_run_id IS NULL AND finished_at IS NOT NULL AND status IN ('failed', 'interrupted')`
const UNSEEN = `${FAILED}
  AND NOT EXISTS (SELECT 1 FROM seen_runs WHERE user_id = ? AND seen_runs.run_id = runs.run_id)
  AND NOT EXISTS (SELECT 1 FROM runs AS t WHERE t.first_run = coalesce(runs.first_run, runs.run_id)
    AND t.try > coalesce(runs.try, 1))`

/** After a failure that ended this recently, others with an earlier end may still be committed. */
const SETTLED_MS = 60_000

export const sqlitePersonal = (session: SqlSession): PersonalStore => {
  const until = ({ id }: Looker): string =>
    String(
      session.get(
        'SELECT coalesce((SELECT until FROM seen_until WHERE user_id = users.id), created_at) AS until FROM users WHERE id = ?',
        id,
      )?.until ?? '',
    )
  /** Call it within a transaction. */
  const moveUntil = ({ id }: Looker, time: string): void => {
    session.run('INSERT OR REPLACE INTO seen_until (user_id, until) VALUES (?, ?)', id, time)
    session.run('DELETE FROM seen_runs WHERE user_id = ? AND finished_at <= ?', id, time)
  }
  const unseen = (user: Looker, limit: number): Row[] =>
    session.all(
      `SELECT run_id FROM ${UNSEEN} ORDER BY finished_at DESC LIMIT ?`,
      ...[user.tenant, user.name, until(user), user.id, limit],
    )
  return {
    async views({ id, tenant }) {
      const sql = `${VIEWS} WHERE views.tenant = ? AND (user_id = ? OR shared) ORDER BY views.name, shared, views.id`
      return session.read(() => session.all(sql, tenant, id)).map(rowView)
    },

    async view(id) {
      const row = session.read(() => session.get(`${VIEWS} WHERE views.id = ?`, id))
      return row && rowView(row)
    },

    keepView: ({ id, user_id, tenant, name, filter, shared, created_at }) =>
      session.write(() => {
        const other = session.get(
          'SELECT 1 FROM views WHERE name = ? AND id <> ? AND iif(?, shared AND tenant = ?, NOT shared AND user_id = ?)',
          ...[name, id, shared ? 1 : 0, tenant, user_id],
        )
        if (other !== undefined) return false
        session.run(
          `INSERT INTO views (id, user_id, tenant, name, filter, shared, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, filter = excluded.filter, shared = excluded.shared`,
          ...[id, user_id, tenant, name, JSON.stringify(filter), shared ? 1 : 0, created_at],
        )
        return true
      }),

    async dropView(id) {
      await session.write(() => session.run('DELETE FROM views WHERE id = ?', id))
    },

    async failures(user, limit) {
      return session.read(() => unseen(user, limit)).map(({ run_id }) => String(run_id))
    },

    markSeen: (user, runIds, now) =>
      session.write(() => {
        const since = until(user)
        for (const runId of runIds)
          session.run(
            `INSERT OR IGNORE INTO seen_runs SELECT ?, run_id, finished_at FROM ${FAILED} AND run_id = ?`,
            ...[user.id, user.tenant, user.name, since, runId],
          )
        // When nothing is left, one time says the same as all these marks.
        const settled = new Date(now.getTime() - SETTLED_MS).toISOString()
        if (settled > since && unseen(user, 1).length === 0) moveUntil(user, settled)
        return until(user)
      }),

    markSeenUntil: (user, time) =>
      session.write(() => {
        if (time > until(user)) moveUntil(user, time)
        return until(user)
      }),
  }
}
