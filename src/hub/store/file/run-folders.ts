import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import type { RunEvent } from '../../../contract/events.ts'
import { RunId } from '../../../contract/ids.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../../contract/run.ts'
import { syncFolder, writeFileAtomic } from '../../../platform/atomic-file.ts'
import { diskError, isMissing } from '../disk-errors.ts'
import { runExists } from '../run-errors.ts'
import { commitLines, specLine } from './log-lines.ts'

/** The content of `run.json`: the record as it followed from that many bytes of the log. Behind the log, it counts for nothing. */
interface Summary {
  log_bytes: number
  record: RunRecord
}

/** A folder that a crash has left half made is older than this before it is taken for one. */
const STALE_MS = 60_000

/** The folders of runs below one folder. A name that starts with a dot is a run being made or removed. */
export class RunFolders {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
    this.#try(dir, () => {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      for (const name of readdirSync(dir)) {
        const folder = path.join(dir, name)
        if (name.startsWith('.old-') || (name.startsWith('.new-') && isOlder(folder, STALE_MS)))
          rmSync(folder, { recursive: true, force: true })
      }
    })
  }

  logFile(runId: string): string {
    return path.join(this.#dir, runId, 'events.jsonl')
  }

  runIds(): string[] {
    return this.#try(this.#dir, () => readdirSync(this.#dir)).filter((name) => RunId.safeParse(name).success)
  }

  /** Undefined: there is no such run. */
  logBytes(runId: string): number | undefined {
    if (!RunId.safeParse(runId).success) return undefined
    const file = this.logFile(runId)
    return this.#try(file, () => statSync(file, { throwIfNoEntry: false })?.size)
  }

  /** The folder appears with its first commit in it. Throws `run_exists`. */
  create(spec: RunSpec, events: readonly RunEvent[], patch: RunPatch | undefined): void {
    const folder = path.join(this.#dir, spec.run_id)
    const making = path.join(this.#dir, `.new-${spec.run_id}-${process.pid}`)
    this.#try(folder, () => {
      if (statSync(folder, { throwIfNoEntry: false }) !== undefined) throw runExists(spec.run_id)
      try {
        mkdirSync(making, { mode: 0o700 })
        writeSynced(
          path.join(making, 'events.jsonl'),
          specLine(spec) + commitLines(0, { events, patch }).join(''),
        )
        renameSync(making, folder)
      } catch (error) {
        rmSync(making, { recursive: true, force: true })
        throw statSync(folder, { throwIfNoEntry: false }) === undefined ? error : runExists(spec.run_id)
      }
      syncFolder(this.#dir)
    })
  }

  /** Takes it from the list at once, whatever becomes of what it held. */
  remove(runId: string): void {
    if (this.logBytes(runId) === undefined) return
    const leaving = path.join(this.#dir, `.old-${runId}-${process.pid}`)
    this.#try(leaving, () => {
      renameSync(path.join(this.#dir, runId), leaving)
      syncFolder(this.#dir)
      rmSync(leaving, { recursive: true, force: true })
    })
  }

  /** The summary where it is as new as the log. */
  readSummary(runId: string, logBytes: number): RunRecord | undefined {
    try {
      const summary = JSON.parse(readFileSync(this.#summaryFile(runId), 'utf8')) as Summary
      return summary.log_bytes === logBytes ? summary.record : undefined
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return undefined
      throw diskError(error, this.#summaryFile(runId))
    }
  }

  /** Writes what only saves reading the log, so a failure to write it is none of the run's. */
  writeSummary(record: RunRecord, logBytes: number): void {
    const summary: Summary = { log_bytes: logBytes, record }
    try {
      writeFileAtomic(this.#summaryFile(record.run_id), `${JSON.stringify(summary)}\n`, { durable: false })
    } catch {
      // The commit stands in the log, and the summary of before is seen to be older.
    }
  }

  #summaryFile(runId: string): string {
    return path.join(this.#dir, runId, 'run.json')
  }

  #try<T>(at: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw diskError(error, at)
    }
  }
}

function writeSynced(file: string, text: string): void {
  const descriptor = openSync(file, 'wx')
  try {
    writeFileSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function isOlder(folder: string, ms: number): boolean {
  const stat = statSync(folder, { throwIfNoEntry: false })
  return stat !== undefined && Date.now() - stat.mtimeMs > ms
}
