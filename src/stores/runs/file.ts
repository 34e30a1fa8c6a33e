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
import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import { RunId } from '../../contract/ids.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { RunCounts, RunPage, RunQuery, RunStore } from '../../engine/ports.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import { syncFolder, writeFileAtomic } from '../../platform/files.ts'
import { diskError, isMissing } from '../disk-errors.ts'
import { commitLines, RunLog, specLine } from './file-log.ts'
import {
  type CheckedQuery,
  checkQuery,
  countRuns,
  found,
  type Listed,
  oldestFirst,
  pageOf,
} from './run-query.ts'
import { type Change, checkOrder, interruption, runExists, runNotFound } from './run-record.ts'

const MAX_LOGS = 256

/**
 * Stores each run in a folder: `events.jsonl` is authoritative, and `run.json` speeds up lists. Each commit is on disk
 * when its call resolves. Other processes may read the folder; only one writes a run.
 */
export class FileRunStore implements RunStore {
  readonly capabilities = { durable: true }
  readonly #folders: RunFolders
  readonly #logs: BoundedMap<string, RunLog>
  readonly #listed = new Map<string, Listed>()

  /**
   * Creates the folder. `maxLogs`: most logs in memory (default 256); others are read again when needed. Throws
   * `store_failed`, `disk_full`.
   */
  constructor(options: { dir: string; maxLogs?: number }) {
    this.#folders = new RunFolders(options.dir)
    this.#logs = new BoundedMap(options.maxLogs ?? MAX_LOGS)
  }

  async create(spec: RunSpec, events: readonly RunEvent[], patch?: RunPatch): Promise<void> {
    if (!RunId.safeParse(spec.run_id).success)
      throw new ErrandError('bad_request', `"${spec.run_id}" is not a valid run id.`, {
        hint: 'A run id is 1-100 letters, digits, "_" or "-".',
      })
    checkOrder(spec.run_id, 0, events)
    this.#folders.create(spec, events, patch)
    this.#summarize(this.#log(spec.run_id)!)
  }

  async update(runId: string, change: Change): Promise<void> {
    const log = this.#log(runId)
    if (log === undefined) throw runNotFound(runId)
    log.append(change)
    if (change.patch !== undefined) this.#summarize(log)
  }

  async get(runId: string): Promise<RunRecord | undefined> {
    const record = this.#log(runId)?.record
    return record && { ...record }
  }

  async list(query: RunQuery): Promise<RunPage> {
    const checked = checkQuery(query)
    const { runs, ...rest } = pageOf(checked, this.#listedFor(checked))
    return { runs: runs.map((run) => this.#read(run.run_id)).filter((run) => run !== undefined), ...rest }
  }

  async counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts> {
    const checked = checkQuery({ ...query, limit: 1 })
    return countRuns(found(checked, this.#listedFor(checked)))
  }

  #listedFor({ inputs, labels, needs_answer, sort }: CheckedQuery): Listed[] {
    const isWhole =
      (inputs ?? labels) !== undefined || needs_answer === true || !(sort === undefined || sort === 'active')
    return isWhole ? this.#all().map((run) => this.#read(run.run_id) ?? run) : this.#all()
  }

  async events(runId: string, after: number, limit: number): Promise<RunEvent[]> {
    return this.#log(runId)?.events(after, limit) ?? []
  }

  async open(): Promise<string[]> {
    const open = this.#all().filter((run) => !isFinalRun(run.status))
    return open.sort(oldestFirst).map((run) => run.run_id)
  }

  async markInterrupted(message: string, runIds?: readonly string[]): Promise<string[]> {
    const marked: string[] = []
    for (const runId of runIds ?? (await this.open())) {
      const record = this.#log(runId)?.record
      if (record === undefined || isFinalRun(record.status)) continue
      await this.update(runId, interruption(record.last_seq, message))
      marked.push(runId)
    }
    return marked
  }

  async remove(runIds: readonly string[]): Promise<void> {
    for (const runId of runIds) {
      this.#logs.delete(runId)
      this.#listed.delete(runId)
      this.#folders.remove(runId)
    }
  }

  async close(): Promise<void> {
    this.#logs.clear()
    this.#listed.clear()
  }

  #summarize(log: RunLog): void {
    const record = log.record!
    this.#listed.set(record.run_id, listed(record))
    this.#folders.writeSummary(record, log.bytes)
  }

  /** Returns the run's present log; undefined when there is no such run. */
  #log(runId: string): RunLog | undefined {
    const bytes = this.#folders.logBytes(runId)
    if (bytes === undefined) return undefined
    const log = this.#logs.get(runId) ?? new RunLog(this.#folders.logFile(runId))
    if (log.bytes !== bytes) log.refresh()
    this.#logs.set(runId, log)
    return log.record === undefined ? undefined : log
  }

  #read(runId: string): RunRecord | undefined {
    const stored = this.#logs.get(runId)
    const bytes = this.#folders.logBytes(runId)
    if (bytes === undefined) return undefined
    if (stored?.bytes === bytes && stored.record !== undefined) return { ...stored.record }
    const record = this.#folders.readSummary(runId, bytes) ?? this.#log(runId)?.record
    return record && { ...record }
  }

  /** Returns everything that can be listed. An ended run never changes, so it is read once. */
  #all(): Listed[] {
    const all: Listed[] = []
    for (const runId of this.#folders.runIds()) {
      let run = this.#listed.get(runId)
      if (run === undefined || !isFinalRun(run.status)) {
        const record = this.#read(runId)
        if (record === undefined) continue
        run = listed(record)
        this.#listed.set(runId, run)
      }
      all.push(run)
    }
    return all
  }
}

const listed = (record: RunRecord): Listed => {
  const { run_id, created_at, status, workflow_name, owner, tenant, blueprint } = record
  const { parent, continues, rolls_back, first_run, try: number } = record
  return {
    run_id,
    created_at,
    status,
    workflow_name,
    owner,
    tenant,
    blueprint,
    ...(parent && { parent }),
    continues,
    rolls_back,
    first_run,
    try: number,
  }
}

/**
 * The content of `run.json`: the record that followed from that many bytes of the log. When the log is longer, it is
 * ignored.
 */
interface Summary {
  log_bytes: number
  record: RunRecord
}

/** Only a folder older than this counts as left half made by a crash. */
const STALE_MS = 60_000

/** The folders of runs below one folder. A name that starts with a dot is a run that is being created or removed. */
class RunFolders {
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

  /** Returns undefined when there is no such run. */
  logBytes(runId: string): number | undefined {
    if (!RunId.safeParse(runId).success) return undefined
    const file = this.logFile(runId)
    return this.#try(file, () => statSync(file, { throwIfNoEntry: false })?.size)
  }

  /** Creates the folder, which appears with its first commit in it. Throws `run_exists`. */
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

  /** Removes the run from the list at once, whatever happens to its contents. */
  remove(runId: string): void {
    if (this.logBytes(runId) === undefined) return
    const leaving = path.join(this.#dir, `.old-${runId}-${process.pid}`)
    this.#try(leaving, () => {
      renameSync(path.join(this.#dir, runId), leaving)
      syncFolder(this.#dir)
      rmSync(leaving, { recursive: true, force: true })
    })
  }

  /** Returns the summary if it is as new as the log. */
  readSummary(runId: string, logBytes: number): RunRecord | undefined {
    try {
      const summary = JSON.parse(readFileSync(this.#summaryFile(runId), 'utf8')) as Summary
      return summary.log_bytes === logBytes ? summary.record : undefined
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return undefined
      throw diskError(error, this.#summaryFile(runId))
    }
  }

  /** Writes the summary, which only saves reading the log; therefore a failed write does not matter to the run. */
  writeSummary(record: RunRecord, logBytes: number): void {
    const summary: Summary = { log_bytes: logBytes, record }
    try {
      writeFileAtomic(this.#summaryFile(record.run_id), `${JSON.stringify(summary)}\n`, { durable: false })
    } catch {
      // The log has the commit, and the older summary is recognized as such.
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
