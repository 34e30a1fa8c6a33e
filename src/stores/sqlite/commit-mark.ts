import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { isMissing } from '../disk-errors.ts'

/** Digits of a count, always the same number, so that overwriting one leaves nothing of it. */
const DIGITS = 12

const markFile = (file: string): string => `${file}-commits`

/**
 * Counts a database's commits, in the database and in a file beside it. SQLite ignores the end of a write-ahead log
 * that was cut short or lost, without a message: when the file is ahead of the database, commits are missing. The file
 * is written after each commit and not flushed: after a power cut it may be behind, never ahead.
 */
export class CommitMark {
  /** Number of commits that the database had lost when it was opened. */
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

  /** Call it within the transaction. */
  count(): void {
    this.#db.exec(`PRAGMA user_version = ${(this.#count + 1) | 0}`)
  }

  /** Call it after the commit. */
  committed(): void {
    this.#count = (this.#count + 1) | 0
    try {
      writeSync(this.#descriptor, String(this.#count).padStart(DIGITS), 0)
    } catch {
      // A full disk is reported at the next commit; until then the mark is behind.
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/**
 * Returns how many commits the database has lost, as far as the file beside it shows. Another process may be writing to
 * both.
 */
export function missingCommits(db: DatabaseSync, file: string): number {
  // The file is read first: later commits are then not mistaken for losses.
  const marked = readMark(file)
  // The count wraps at 32 bits.
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
