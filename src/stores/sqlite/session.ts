import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Writer } from './writer.ts'

/** Primary result codes of SQLite (sqlite.org/rescode.html). */
const BUSY = 5
const LOCKED = 6
const READONLY = 8
const IOERR = 10
const CORRUPT = 11
const FULL = 13
const CANTOPEN = 14
const NOTADB = 26

const hints: Record<number, string> = {
  [BUSY]: 'Another program is using it. End that program, then try again.',
  [LOCKED]: 'Another program is using it. End that program, then try again.',
  [READONLY]: 'Make the file and its folder writable for this user.',
  [IOERR]: 'Check the disk: it is full, or the system reports I/O errors there.',
  [CORRUPT]: 'The file is damaged. Replace it with a backup.',
  [CANTOPEN]: 'Make sure that its folder exists and is writable for this user.',
  [NOTADB]: 'Use another file, or move this one away.',
}

const primaryCode = (error: unknown): number | undefined => {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number')
    return undefined
  return error.errcode & 0xff
}

/** Translates an error of node:sqlite for a person. Returns an ErrandError unchanged. */
export function sqliteError(error: unknown, file: string): ErrandError {
  if (error instanceof ErrandError) return error
  const code = primaryCode(error)
  if (code === FULL)
    return new ErrandError('disk_full', `No space is left for the database ${file}.`, {
      hint: 'Free some space on that disk. Nothing that is already stored is lost.',
      cause: error,
    })
  return new ErrandError('store_failed', `The database ${file} failed: ${messageOf(error)}.`, {
    hint:
      (code === undefined ? undefined : hints[code]) ??
      'This is a bug in Errand: please report it with this message.',
    cause: error,
  })
}

type Row = Record<string, SQLOutputValue>

/** Runs SQL for one store: statements are prepared at their first use and cached, and errors become ErrandErrors. */
export class SqlSession {
  readonly #db: DatabaseSync
  readonly #file: string
  readonly #writer: Writer
  readonly #statements = new Map<string, StatementSync>()

  constructor(db: DatabaseSync, file: string, writer: Writer) {
    this.#db = db
    this.#file = file
    this.#writer = writer
  }

  /** See `Writer.write`. */
  write<T>(work: () => T): Promise<T> {
    return this.#writer.write(work)
  }

  /** See `Writer.flush`. */
  flush(): void {
    this.#writer.flush()
  }

  /** Reads, with SQLite's errors translated. Do not use it within `write`. */
  read<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw sqliteError(error, this.#file)
    }
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values)
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values)
  }

  /** Runs a statement; returns how many rows it changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}
