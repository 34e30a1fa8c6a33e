import type { SQLOutputValue } from 'node:sqlite'
import type { ChannelKind, ChannelTopic } from '../../contract/channels.ts'
import type { SqlSession } from './session.ts'

/** A user's notification channel; its secrets are sealed among the secrets. */
export interface NotificationChannel {
  id: string
  user_id: string
  tenant: string
  /** Name of its user. */
  owner: string
  kind: ChannelKind
  name: string
  to: string
  tells: readonly ChannelTopic[]
  created_at: string
}

/** The health of a channel. */
export interface ChannelState {
  waiting: number
  last_sent_at?: string
  failure?: { message: string; at: string; dropped: boolean }
}

/** A message that a channel is to receive, once. */
export interface Notice {
  id: string
  channel_id: string
  /** A channel receives a key once. */
  key: string
  run_id: string
  /** The question with whose answer the notice ends: `PHASE STEP` for an approval, or the id of an agent's request. */
  question?: string
  /** The body that is sent. */
  body: string
  created_at: string
  due_at: string
  tries: number
}

/**
 * Stores channels and their notices. Each call is one commit, and resolves after it. All reject with `store_failed` or
 * `disk_full`.
 */
export interface ChannelStore {
  add(channel: Omit<NotificationChannel, 'owner'>): Promise<void>
  get(id: string): Promise<NotificationChannel | undefined>
  /** Returns the channels of one user, in the order of their creation. */
  ofUser(userId: string): Promise<(NotificationChannel & ChannelState)[]>
  /** Returns the channels of the tenant's active users that receive such messages. */
  subscribed(tenant: string, topic: ChannelTopic): Promise<NotificationChannel[]>
  /** Removes a channel with its notices. False: it did not exist. */
  remove(id: string): Promise<boolean>
  /**
   * Stores the notices that their channels have not received yet, unless a channel has had `most` or more since `since`.
   * Returns how many.
   */
  keep(notices: readonly Notice[], bound: { since: string; most: number }): Promise<number>
  /** Returns the oldest due notice of each channel, except these channels. */
  due(now: string, but: readonly string[], limit: number): Promise<Notice[]>
  /** Returns when the next notice is due. */
  nextDue(): Promise<string | undefined>
  sent(id: string, now: string): Promise<void>
  /** Records a failed delivery. The notice is due again at `due_at`, unless it was dropped meanwhile. */
  failed(id: string, at: { now: string; message: string; due_at?: string }): Promise<void>
  /** Drops the waiting notices of a run's question, or of all its questions. */
  answered(runId: string, question?: string): Promise<void>
  /** Deletes notices that were sent or dropped before that time. */
  forget(before: string): Promise<void>
}

type Row = Record<string, SQLOutputValue>
const optional = (value: SQLOutputValue | undefined) => (value == null ? undefined : String(value))

const rowChannel = (row: Row): NotificationChannel => ({
  id: String(row.id),
  user_id: String(row.user_id),
  tenant: String(row.tenant),
  owner: String(row.owner),
  kind: String(row.kind) as ChannelKind,
  name: String(row.name),
  to: String(row.target),
  tells: String(row.topics).split(' ') as ChannelTopic[],
  created_at: String(row.created_at),
})

const rowNotice = (row: Row): Notice => ({
  id: String(row.id),
  channel_id: String(row.channel_id),
  key: String(row.key),
  run_id: String(row.run_id),
  question: optional(row.question),
  body: String(row.body),
  created_at: String(row.created_at),
  due_at: String(row.due_at),
  tries: Number(row.tries),
})

const CHANNELS =
  'SELECT channels.*, users.name AS owner FROM channels JOIN users ON users.id = channels.user_id'

export const sqliteChannels = (session: SqlSession): ChannelStore => {
  const change = (sql: string, ...values: (string | number | null)[]) =>
    session.write(() => session.run(sql, ...values))
  return {
    async add({ id, user_id, tenant, kind, name, to, tells, created_at }) {
      await change(
        `INSERT INTO channels (id, user_id, tenant, kind, name, target, topics, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[id, user_id, tenant, kind, name, to, tells.join(' '), created_at],
      )
    },

    async get(id) {
      const row = session.read(() => session.get(`${CHANNELS} WHERE channels.id = ?`, id))
      return row && rowChannel(row)
    },

    async ofUser(userId) {
      const sql = `SELECT channels.*, users.name AS owner,
          (SELECT count(*) FROM notices WHERE channel_id = channels.id AND due_at IS NOT NULL) AS waiting
        FROM channels JOIN users ON users.id = channels.user_id
        WHERE user_id = ? ORDER BY channels.created_at, channels.id`
      return session
        .read(() => session.all(sql, userId))
        .map((row) => ({
          ...rowChannel(row),
          waiting: Number(row.waiting),
          last_sent_at: optional(row.last_sent_at),
          failure:
            row.failure == null
              ? undefined
              : { message: String(row.failure), at: String(row.failed_at), dropped: row.dropped === 1 },
        }))
    },

    async subscribed(tenant, topic) {
      const sql = `${CHANNELS} WHERE channels.tenant = ? AND users.disabled = 0`
      return session
        .read(() => session.all(sql, tenant))
        .map(rowChannel)
        .filter((channel) => channel.tells.includes(topic))
    },

    remove: async (id) => (await change('DELETE FROM channels WHERE id = ?', id)) > 0,

    keep: (notices, { since, most }) =>
      session.write(() => {
        let stored = 0
        for (const { id, channel_id, key, run_id, question, body, created_at, due_at } of notices) {
          const had = session.get(
            'SELECT count(*) AS had FROM notices WHERE channel_id = ? AND created_at > ?',
            ...[channel_id, since],
          )
          if (Number(had?.had) >= most) continue
          stored += session.run(
            `INSERT INTO notices (id, channel_id, key, run_id, question, body, created_at, due_at, tries)
              SELECT ?, channels.id, ?, ?, ?, ?, ?, ?, 0 FROM channels WHERE channels.id = ?
              ON CONFLICT DO NOTHING`,
            ...[id, key, run_id, question ?? null, body, created_at, due_at, channel_id],
          )
        }
        return stored
      }),

    async due(now, but, limit) {
      const marks = but.map(() => '?').join(', ')
      const sql = `SELECT notices.* FROM notices JOIN (
          SELECT channel_id, min(due_at) AS first FROM notices
          WHERE due_at IS NOT NULL AND due_at <= ? AND channel_id NOT IN (${marks}) GROUP BY channel_id
        ) AS firsts ON firsts.channel_id = notices.channel_id AND firsts.first = notices.due_at
        GROUP BY notices.channel_id ORDER BY notices.due_at LIMIT ?`
      return session.read(() => session.all(sql, now, ...but, limit)).map(rowNotice)
    },

    nextDue: async () =>
      optional(session.read(() => session.get('SELECT min(due_at) AS next FROM notices'))?.next),

    async sent(id, now) {
      await session.write(() => {
        session.run('UPDATE notices SET due_at = NULL, tries = tries + 1 WHERE id = ?', id)
        session.run(
          `UPDATE channels SET last_sent_at = ?, failed_at = NULL, failure = NULL, dropped = 0
            WHERE id = (SELECT channel_id FROM notices WHERE id = ?)`,
          ...[now, id],
        )
      })
    },

    async failed(id, { now, message, due_at }) {
      await session.write(() => {
        // A notice whose question was answered during the delivery stays dropped.
        session.run(
          'UPDATE notices SET due_at = ?, tries = tries + 1 WHERE id = ? AND due_at IS NOT NULL',
          ...[due_at ?? null, id],
        )
        session.run(
          `UPDATE channels SET failed_at = ?, failure = ?, dropped = ?
            WHERE id = (SELECT channel_id FROM notices WHERE id = ?)`,
          ...[now, message, due_at === undefined ? 1 : 0, id],
        )
      })
    },

    async answered(runId, question) {
      const sql = `UPDATE notices SET due_at = NULL
        WHERE run_id = ? AND due_at IS NOT NULL AND question IS NOT NULL AND question = ifnull(?, question)`
      await change(sql, runId, question ?? null)
    },

    async forget(before) {
      await change('DELETE FROM notices WHERE due_at IS NULL AND created_at < ?', before)
    },
  }
}
