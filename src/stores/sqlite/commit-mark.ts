import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { isMissing } from '../disk-errors.ts'

/** All texts of a count are as long, so that one written over another leaves nothing of it. */
const DIGITS = 12

const markFile = (file: string): string => `${file}-commits`

/**
 * The count of a database's commits, in the database and in a file beside it. SQLite leaves out the end of a write-ahead
 * log that was cut short, or lost, and says nothing of it: where the file is ahead of the database, commits are gone.
 * The file is written after each commit and not flushed: after a power cut it may be behind, never ahead.
 */
export class CommitMark {
  /** How many commits the database had lost when it was opened. */
  readonly missing: number
  readonly #db: DatabaseSync
  readonly #descriptor: number
  #count: number

  constructor(db: DatabaseSync, file: string) {
    this.#db = db
    this.missing = missingCommits(db, file)
    this.#count = countIn(db) + this.missing
    this.#descriptor = openSync(markFile(file), constants.O_RDWR | constants.O_CREAT, 0o600)
  }

  /** Within the transaction. */
  count(): void {
    this.#db.exec(`PRAGMA user_version = ${(this.#count + 1) | 0}`)
  }

  /** After the commit. */
  committed(): void {
    this.#count = (this.#count + 1) | 0
    try {
      writeSync(this.#descriptor, String(this.#count).padStart(DIGITS), 0)
    } catch {
      // A disk that takes nothing says so at the next commit; until then the mark is behind.
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** How many commits the database has lost, as far as the file beside it tells. Another process may be writing to both. */
export function missingCommits(db: DatabaseSync, file: string): number {
  // The file first: what is committed meanwhile is no loss.
  const marked = readMark(file)
  // The count goes round at 32 bits.
  return marked === undefined ? 0 : Math.max(0, (marked - countIn(db)) | 0)
}

function readMark(file: string): number | undefined {
  try {
    const text = readFileSync(markFile(file), 'latin1').trim()
    return /^-?\d+$/.test(text) ? Number(text) : undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const countIn = (db: DatabaseSync): number => Number(db.prepare('PRAGMA user_version').get()?.user_version)
