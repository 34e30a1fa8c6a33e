import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { diskError } from '../disk-errors.ts'
import { type Migrations, migrate } from './migrations.ts'
import { sqliteError } from './sqlite-errors.ts'

/** How long another program may hold the database before a call fails. */
const BUSY_TIMEOUT_MS = 5000
/** The write-ahead log is cut back to this after a burst. */
const KEPT_WAL_BYTES = 16 * 1024 * 1024
const CACHE_KIB = 8 * 1024

/**
 * Opens or makes the database and brings it to this version's form. `:memory:` is one that nothing lasts of.
 * Throws `store_failed` or `disk_full`.
 */
export function openDatabase(file: string, migrations: Migrations): DatabaseSync {
  let db: DatabaseSync | undefined
  try {
    if (file !== ':memory:') makePrivate(file)
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS })
    // Pages that become free can then go back to the system; only a new database takes this.
    if (db.prepare('PRAGMA page_count').get()?.page_count === 0) db.exec('PRAGMA auto_vacuum = INCREMENTAL')
    db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = ${KEPT_WAL_BYTES};
      PRAGMA cache_size = -${CACHE_KIB};
      PRAGMA temp_store = MEMORY;
      -- What is deleted is written over, such as a sealed secret.
      PRAGMA secure_delete = FAST;
    `)
    migrate(db, file, migrations)
    return db
  } catch (error) {
    if (db?.isOpen) db.close()
    throw sqliteError(error, file)
  }
}

/** It holds the key of all sessions, so only its owner may read it; SQLite gives its side files the same mode. */
function makePrivate(file: string): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    closeSync(openSync(file, 'a', 0o600))
  } catch (error) {
    throw diskError(error, file)
  }
}
