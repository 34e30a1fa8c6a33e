import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ErrandError } from '../../contract/errors.ts'
import { diskError } from '../disk-errors.ts'
import { baseline } from './baseline.ts'
import { sqliteError } from './session.ts'
import { checkTables } from './whole-tables.ts'

/** Milliseconds for which another program may lock the database before a call fails. */
const BUSY_TIMEOUT_MS = 5000
/** The write-ahead log is truncated to this size after a burst. */
const MAX_WAL_BYTES = 16 * 1024 * 1024
const CACHE_KIB = 8 * 1024

/**
 * Opens or creates the database and migrates it to this version's form. `:memory:` is a database that does not outlast
 * the process. Throws `store_failed` or `disk_full`.
 */
export function openDatabase(file: string, migrations: readonly Migration[] = hubMigrations): DatabaseSync {
  let db: DatabaseSync | undefined
  try {
    if (file !== ':memory:') makePrivate(file)
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS })
    // Freed pages can then go back to the system; only a new database accepts this setting.
    if (db.prepare('PRAGMA page_count').get()?.page_count === 0) db.exec('PRAGMA auto_vacuum = INCREMENTAL')
    db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = ${MAX_WAL_BYTES};
      PRAGMA cache_size = -${CACHE_KIB};
      PRAGMA temp_store = MEMORY;
      -- What is deleted is written over, such as a sealed secret.
      PRAGMA secure_delete = FAST;
    `)
    if (migrate(db, file, migrations)) checkTables(db, file, migrations)
    return db
  } catch (error) {
    if (db?.isOpen) db.close()
    throw sqliteError(error, file)
  }
}

/**
 * Makes the file readable only for its owner, since it contains runs and their events. SQLite gives its side files the
 * same mode.
 */
function makePrivate(file: string): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    closeSync(openSync(file, 'a', 0o600))
  } catch (error) {
    throw diskError(error, file)
  }
}

/** A step from one form of the database to the next. A released step never changes. */
export interface Migration {
  /** Counts from 1, without gaps. */
  version: number
  name: string
  sql: string
}

/** The steps that lead to this version's form of a hub's database. */
export const hubMigrations: readonly Migration[] = [baseline]

/** Marks a file as Errand's ("ERND"), so that another program's database is never written to. */
const APPLICATION_ID = 0x45524e44

/** The `part` of all rows of the table `migrations`. Before the baseline each store was a part of its own. */
const PART = 'hub'

/**
 * Migrates the database to this version's form, in one transaction. Returns whether the database existed before. Throws
 * `store_failed` when it is not Errand's, newer, or older than the baseline.
 */
function migrate(db: DatabaseSync, file: string, migrations: readonly Migration[]): boolean {
  db.exec('BEGIN IMMEDIATE')
  const applied = checkVersion(db, file, migrations)
  db.exec(`CREATE TABLE IF NOT EXISTS migrations (
    part TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, applied_at TEXT NOT NULL,
    PRIMARY KEY (part, version)
  ) STRICT, WITHOUT ROWID`)
  const note = db.prepare('INSERT INTO migrations (part, version, name, applied_at) VALUES (?, ?, ?, ?)')
  for (const { version, name, sql } of migrations) {
    if (version <= applied) continue
    db.exec(sql)
    note.run(PART, version, name, new Date().toISOString())
  }
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
  db.exec('COMMIT')
  return applied > 0
}

/**
 * Returns the version of the database, 0 for an empty one, without changing anything. Throws `store_failed` when the
 * database is not Errand's, newer, or older than the baseline.
 */
export function checkVersion(
  db: DatabaseSync,
  file: string,
  migrations: readonly Migration[] = hubMigrations,
): number {
  checkOwner(db, file)
  const applied = appliedVersions(db)
  const older = [...applied].filter(([part]) => part !== PART)
  if (older.length > 0) throw olderDatabase(file, older)
  const version = applied.get(PART) ?? 0
  const known = migrations.at(-1)?.version ?? 0
  if (version > known) throw newerDatabase(file, version, known)
  return version
}

/** Reports whether the file is a database of an Errand from before the baseline. False if it cannot be read. */
export function isOlderDatabase(file: string): boolean {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS })
    return ownerOf(db) === APPLICATION_ID && [...appliedVersions(db).keys()].some((part) => part !== PART)
  } catch {
    // Opening it for writing says what is wrong with it.
    return false
  } finally {
    db?.close()
  }
}

function appliedVersions(db: DatabaseSync): ReadonlyMap<string, number> {
  if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").get() === undefined)
    return new Map()
  const rows = db.prepare('SELECT part, max(version) AS version FROM migrations GROUP BY part').all()
  return new Map(rows.map((row) => [String(row.part), Number(row.version)]))
}

const ownerOf = (db: DatabaseSync) => db.prepare('PRAGMA application_id').get()?.application_id

function checkOwner(db: DatabaseSync, file: string): void {
  const id = ownerOf(db)
  if (id === APPLICATION_ID) return
  const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n
  if (id === 0 && tables === 0) return
  throw new ErrandError('store_failed', `The database ${file} belongs to another program.`, {
    hint: 'Use another file, or move this one away.',
  })
}

const newerDatabase = (file: string, version: number, known: number): ErrandError =>
  new ErrandError(
    'store_failed',
    `The database ${file} was written by a newer Errand (version ${version} of its tables, this one knows ${known}).`,
    { hint: 'Use that version of Errand or a newer one, or another data folder.' },
  )

const olderDatabase = (file: string, parts: readonly (readonly [string, number])[]): ErrandError => {
  const found = parts.map(([part, version]) => `${part} ${version}`).join(', ')
  return new ErrandError(
    'store_failed',
    `The database ${file} was written by an Errand from before 0.1.0, whose tables (${found}) this version cannot upgrade. Nothing in it was changed.`,
    {
      hint: 'To start without its runs and users, use errand up --new, which moves the old data aside. To continue with them, use the older version, also to restore its backups.',
    },
  )
}
