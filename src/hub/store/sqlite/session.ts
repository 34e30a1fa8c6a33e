import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { sqliteError } from './sqlite-errors.ts'
import type { Writer } from './writer.ts'

type Row = Record<string, SQLOutputValue>

/** SQL for one store: statements are prepared at their first use and kept, errors are told as ErrandErrors. */
export class Session {
  readonly #db: DatabaseSync
  readonly #file: string
  readonly #writer: Writer
  readonly #statements = new Map<string, StatementSync>()

  constructor(db: DatabaseSync, file: string, writer: Writer) {
    this.#db = db
    this.#file = file
    this.#writer = writer
  }

  /** As `Writer.write`. */
  write<T>(work: () => T): Promise<T> {
    return this.#writer.write(work)
  }

  /** As `Writer.flush`. */
  flush(): void {
    this.#writer.flush()
  }

  /** Reads, with the errors of SQLite translated. Not for use within `write`. */
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

  /** Answers how many rows were changed. */
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
