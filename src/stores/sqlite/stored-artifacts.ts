import type { SQLOutputValue } from 'node:sqlite'
import type { SqlSession } from './session.ts'

/** An artifact that another system has sent for storage. */
export interface StoredArtifactRecord {
  id: string
  tenant: string
  owner: string
  /** Folder of its contents in the artifact store's `stored`. */
  gathered_by: string
  name: string
  type: string
  media_type: string
  bytes: number
  /** The SHA-256 in hex. */
  sha256: string
  /** The metadata as given. */
  metadata: Record<string, unknown>
  created_at: string
}

/**
 * Stores records of such artifacts. Each call is one commit, and resolves after it. All reject with `store_failed` or
 * `disk_full`.
 */
export interface StoredArtifactStore {
  /** Adds an artifact. False: one with that id exists, and is unchanged. */
  add(artifact: StoredArtifactRecord): Promise<boolean>
  get(id: string): Promise<StoredArtifactRecord | undefined>
  /** Returns the artifacts whose contents are in the same group. */
  gathered(by: string): Promise<StoredArtifactRecord[]>
  /** Returns artifacts from before that time, oldest first. */
  before(time: string, most: number): Promise<StoredArtifactRecord[]>
  remove(id: string): Promise<void>
}

const record = (row: Record<string, SQLOutputValue>): StoredArtifactRecord => ({
  id: String(row.id),
  tenant: String(row.tenant),
  owner: String(row.owner),
  gathered_by: String(row.gathered_by),
  name: String(row.name),
  type: String(row.type),
  media_type: String(row.media_type),
  bytes: Number(row.bytes),
  sha256: String(row.sha256),
  metadata: JSON.parse(String(row.metadata)),
  created_at: String(row.created_at),
})

export const sqliteStoredArtifacts = (session: SqlSession): StoredArtifactStore => ({
  async add(artifact) {
    const { id, tenant, owner, gathered_by, name, type, media_type, bytes, sha256, created_at } = artifact
    const values = [id, tenant, owner, gathered_by, name, type, media_type, bytes, sha256]
    const metadata = JSON.stringify(artifact.metadata)
    const sql = `INSERT INTO stored_artifacts
        (id, tenant, owner, gathered_by, name, type, media_type, bytes, sha256, metadata, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
    return (await session.write(() => session.run(sql, ...values, metadata, created_at))) === 1
  },

  async get(id) {
    const row = session.read(() => session.get('SELECT * FROM stored_artifacts WHERE id = ?', id))
    return row && record(row)
  },

  async gathered(by) {
    const sql = 'SELECT * FROM stored_artifacts WHERE gathered_by = ?'
    return session.read(() => session.all(sql, by)).map(record)
  },

  async before(time, most) {
    const sql = 'SELECT * FROM stored_artifacts WHERE created_at < ? ORDER BY created_at LIMIT ?'
    return session.read(() => session.all(sql, time, most)).map(record)
  },

  async remove(id) {
    await session.write(() => session.run('DELETE FROM stored_artifacts WHERE id = ?', id))
  },
})
