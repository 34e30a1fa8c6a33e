import type { DatabaseSync } from 'node:sqlite'
import { ErrandError } from '../../contract/errors.ts'
import type { CommitMark } from './commit-mark.ts'
import { sqliteError } from './session.ts'

interface Job {
  work: () => unknown
  resolve: (value: unknown) => void
  reject: (error: ErrandError) => void
}

/** Most jobs of one commit: limits how long a commit blocks everything else in this process. */
const MAX_BATCH = 1000

/**
 * Commits in groups: all jobs of one turn of the event loop share one transaction and one fsync, which is the cost of a
 * commit.
 */
export class Writer {
  readonly #db: DatabaseSync
  readonly #file: string
  readonly #mark: CommitMark | undefined
  #jobs: Job[] = []
  #timer: NodeJS.Immediate | undefined

  /** Without a mark commits are not counted. */
  constructor(db: DatabaseSync, file: string, mark?: CommitMark) {
    this.#db = db
    this.#file = file
    this.#mark = mark
  }

  /**
   * Runs `work` within a transaction; resolves with its result after the commit. It may throw an ErrandError only
   * before its first write, because its neighbors are committed all the same. It may run a second time.
   */
  write<T>(work: () => T): Promise<T> {
    if (!this.#db.isOpen) return Promise.reject(this.#closed())
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ work, resolve: resolve as (value: unknown) => void, reject })
      this.#timer ??= setImmediate(() => this.#next())
    })
  }

  /** Commits all pending jobs at once. */
  flush(): void {
    clearImmediate(this.#timer)
    this.#timer = undefined
    while (this.#jobs.length > 0) this.#commit(this.#jobs.splice(0, MAX_BATCH))
  }

  #next(): void {
    this.#timer = undefined
    this.#commit(this.#jobs.splice(0, MAX_BATCH))
    if (this.#jobs.length > 0) this.#timer = setImmediate(() => this.#next())
  }

  #commit(batch: Job[]): void {
    const answers: (() => void)[] = []
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      for (const job of batch) answers.push(this.#run(job))
      this.#mark?.count()
      this.#db.exec('COMMIT')
      this.#mark?.committed()
    } catch (error) {
      this.#rollback()
      // One job failed in a way that cannot be told apart from the others: each gets its own commit.
      if (batch.length === 1) batch[0]!.reject(sqliteError(error, this.#file))
      else for (const job of batch) this.#commit([job])
      return
    }
    for (const answer of answers) answer()
  }

  #run(job: Job): () => void {
    try {
      const value = job.work()
      return () => job.resolve(value)
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      return () => job.reject(error)
    }
  }

  #rollback(): void {
    try {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
    } catch {
      // SQLite has rolled back by itself; the original failure is the one to report.
    }
  }

  #closed(): ErrandError {
    return new ErrandError('store_failed', `The database ${this.#file} has been closed.`, {
      hint: 'Close the store last.',
    })
  }
}
