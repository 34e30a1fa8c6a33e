import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { missingCommits } from './commit-mark.ts'
import { checkVersion } from './database.ts'
import { sqliteError } from './session.ts'

/** A stream of an attempt, as far as the log covers it. */
export interface KnownStream {
  run_id: string
  attempt: number
  stream: string
  length: number
}

// Events of one run are adjacent, so that only those of one run are sorted at a time.
const selectStreams = `
  SELECT run_id, json ->> '$.attempt' AS attempt, json ->> '$.stream' AS stream,
    max((json ->> '$.offset') + (json ->> '$.length')) AS length
  FROM events WHERE json ->> '$.type' = 'output' GROUP BY run_id, attempt, stream`
const selectEnd = `
  SELECT json ->> ('$.streams.' || ?3 || '.sha256') AS sha256, json ->> ('$.streams.' || ?3 || '.length') AS length
  FROM events WHERE run_id = ?1 AND json ->> '$.type' = 'attempt.finished' AND json ->> '$.attempt' = ?2`

const JSON_COLUMNS = [
  ['events', 'json'],
  ['run_specs', 'spec'],
] as const

/** Copies the database as it is at one moment, even while a hub writes to it. Throws `store_failed`, `disk_full`. */
export function snapshotInto(file: string, copy: string): void {
  const db = openReading(file)
  try {
    db.prepare('VACUUM INTO ?').run(copy)
    chmodSync(copy, 0o600)
  } catch (error) {
    throw sqliteError(error, copy)
  } finally {
    db.close()
  }
}

/**
 * Prepares the copy for another hub: removes the provisioned runners of the original hub, their tokens, and the id by
 * which they are known. Nobody else may use the file. Throws `store_failed`, `disk_full`.
 */
export function forgetProvisionedRunners(file: string): void {
  try {
    const db = new DatabaseSync(file)
    try {
      checkVersion(db, file)
      const hub = db.prepare("SELECT value FROM settings WHERE key = 'hub_id'").get()?.value
      // The hub has provisioned none.
      if (typeof hub !== 'string') return
      db.exec('BEGIN IMMEDIATE')
      for (const sql of [
        "DELETE FROM tokens WHERE runner_id GLOB 'errand-' || ? || '-*'",
        "DELETE FROM runners WHERE id GLOB 'errand-' || ? || '-*'",
        "DELETE FROM settings WHERE key = 'hub_id' AND value = ?",
      ])
        db.prepare(sql).run(hub)
      db.exec('DELETE FROM provisioned_runners; COMMIT')
    } finally {
      db.close()
    }
  } catch (error) {
    throw sqliteError(error, file)
  }
}

/** Reads a database without changing it. Another process may write to it. */
export class DatabaseReader {
  readonly #db: DatabaseSync
  readonly #file: string

  constructor(file: string) {
    this.#db = openReading(file)
    this.#file = file
  }

  /** Throws `store_failed` when a hub of this version would refuse the database. */
  checkForm(): void {
    try {
      checkVersion(this.#db, this.#file)
    } catch (error) {
      throw sqliteError(error, this.#file)
    }
  }

  /** Returns a sentence for each damage. Slow: it reads the whole database. */
  damage(): string[] {
    try {
      const found = this.#db
        .prepare('PRAGMA integrity_check(5)')
        .all()
        .map((row) => String(row.integrity_check))
        .filter((text) => text !== 'ok')
      // SQLite does not check the contents of a page.
      for (const [table, column] of JSON_COLUMNS) {
        const sql = `SELECT count(*) AS n FROM ${table} WHERE NOT json_valid(${column})`
        const count = Number(this.#db.prepare(sql).get()?.n)
        if (count > 0) found.push(`${count} rows of ${table} cannot be read`)
      }
      const missing = missingCommits(this.#db, this.#file)
      if (missing > 0) found.push(`its last ${missing} commits are missing`)
      return found
    } catch (error) {
      return [sqliteError(error, this.#file).message]
    }
  }

  *streams(): Generator<KnownStream> {
    for (const row of this.#db.prepare(selectStreams).iterate())
      yield {
        run_id: String(row.run_id),
        attempt: Number(row.attempt),
        stream: String(row.stream),
        length: Number(row.length),
      }
  }

  /** Returns what the hub measured at the end of the attempt; undefined when it has not ended. */
  end({ run_id, attempt, stream }: KnownStream): { sha256: string; length: number } | undefined {
    const row = this.#db.prepare(selectEnd).get(run_id, attempt, stream)
    return typeof row?.sha256 === 'string' ? { sha256: row.sha256, length: Number(row.length) } : undefined
  }

  hasRun(runId: string): boolean {
    return this.#db.prepare('SELECT 1 FROM runs WHERE run_id = ?').get(runId) !== undefined
  }

  /** Returns the ids of the keys that seal secrets. */
  keyIds(): string[] {
    return this.#db
      .prepare('SELECT DISTINCT key_id FROM secrets')
      .all()
      .map((row) => String(row.key_id))
  }

  /** Counts the users of this tenant who may use the hub and are not admins. */
  countUsers(tenant: string): number {
    const sql = "SELECT count(*) AS n FROM users WHERE tenant = ? AND role = 'user' AND disabled = 0"
    return Number(this.#db.prepare(sql).get(tenant)?.n)
  }

  countRuns(): number {
    return Number(this.#db.prepare('SELECT count(*) AS n FROM runs').get()?.n)
  }

  close(): void {
    this.#db.close()
  }
}

function openReading(file: string): DatabaseSync {
  try {
    return new DatabaseSync(file, { readOnly: true, timeout: 10_000 })
  } catch (error) {
    throw sqliteError(error, file)
  }
}
