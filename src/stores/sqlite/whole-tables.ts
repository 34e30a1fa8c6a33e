import { DatabaseSync } from 'node:sqlite'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Migration } from './database.ts'

/** A table or index, as `sqlite_schema` has it. */
interface Part {
  type: 'table' | 'index'
  name: string
  table: string
  sql: string | null
}

/**
 * Checks that all tables, columns and indexes of the migrations exist, and that each can be read at its ends. That
 * costs a few pages of each, however large the database is; `errand doctor` reads all of it. Throws `store_failed`.
 */
export function checkTables(db: DatabaseSync, file: string, migrations: readonly Migration[]): void {
  const expected = madeBy(migrations)
  try {
    const there = new Map(partsOf(db).map((part) => [part.name, part]))
    const lacks = partsOf(expected).flatMap((part) =>
      there.has(part.name) ? columnsLacking(db, expected, part) : [`${part.type} ${part.name}`],
    )
    if (lacks.length > 0) throw damaged(file, `it lacks ${lacks.slice(0, 5).join(', ')}`)
    for (const part of there.values()) readEnds(db, file, part)
  } finally {
    expected.close()
  }
}

function madeBy(migrations: readonly Migration[]): DatabaseSync {
  const db = new DatabaseSync(':memory:')
  for (const { sql } of migrations) db.exec(sql)
  return db
}

const partsOf = (db: DatabaseSync): Part[] =>
  db
    .prepare(
      "SELECT type, name, tbl_name AS 'table', sql FROM sqlite_schema WHERE type IN ('table', 'index')",
    )
    .all() as unknown as Part[]

function columnsLacking(db: DatabaseSync, expected: DatabaseSync, { type, name }: Part): string[] {
  if (type === 'index') return []
  const columns = (of: DatabaseSync) =>
    of
      .prepare('SELECT name FROM pragma_table_info(?)')
      .all(name)
      .map((row) => String(row.name))
  const there = new Set(columns(db))
  return columns(expected)
    .filter((column) => !there.has(column))
    .map((column) => `column ${column} of table ${name}`)
}

/** Builds the read of a part's ends; a table without row ids is read in the order of its key. */
const endsOf = (sql: string | null): string[] =>
  /WITHOUT ROWID/i.test(sql ?? '') ? [''] : ['ORDER BY rowid', 'ORDER BY rowid DESC']

function readEnds(db: DatabaseSync, file: string, { type, name, table, sql }: Part): void {
  try {
    if (type === 'table') {
      for (const order of endsOf(sql)) db.prepare(`SELECT * FROM "${name}" ${order} LIMIT 1`).get()
      return
    }
    const first = db.prepare('SELECT name FROM pragma_index_info(?) ORDER BY seqno LIMIT 1').get(name)?.name
    // An index on an expression has no name here.
    if (typeof first !== 'string') return
    const of = / WHERE (.*)$/is.exec(sql ?? '')?.[1]
    const where = of === undefined ? '' : `WHERE ${of}`
    for (const order of ['ASC', 'DESC'])
      db.prepare(
        `SELECT "${first}" FROM "${table}" INDEXED BY "${name}" ${where} ORDER BY "${first}" ${order} LIMIT 1`,
      ).get()
  } catch (error) {
    throw damaged(file, `${type} ${name} cannot be read: ${messageOf(error)}`, error)
  }
}

const damaged = (file: string, how: string, cause?: unknown): ErrandError =>
  new ErrandError('store_failed', `The database ${file} is damaged: ${how}.`, {
    hint: 'Keep a copy of the data folder, and restore a backup into another one: errand restore (docs/operations.md). errand doctor reads the whole database and names the damaged parts.',
    cause,
  })
