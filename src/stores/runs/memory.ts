import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { RunCounts, RunPage, RunQuery, RunStore } from '../../engine/ports.ts'
import { checkQuery, countRuns, found, oldestFirst, pageOf } from './run-query.ts'
import {
  applyPatch,
  type Change,
  checkOrder,
  interruption,
  newRecord,
  runExists,
  runNotFound,
} from './run-record.ts'

interface StoredRun {
  record: RunRecord
  events: RunEvent[]
}

/** Stores runs while this process lives. */
export class MemoryRunStore implements RunStore {
  readonly capabilities = { durable: false }
  readonly #runs = new Map<string, StoredRun>()
  #warn: ((message: string) => void) | undefined

  /** `warn` is called once, with the first run. */
  constructor(options: { warn?: (message: string) => void } = {}) {
    this.#warn = options.warn
  }

  async create(spec: RunSpec, events: readonly RunEvent[], patch?: RunPatch): Promise<void> {
    if (this.#runs.has(spec.run_id)) throw runExists(spec.run_id)
    checkOrder(spec.run_id, 0, events)
    const run: StoredRun = { record: newRecord(spec), events: [] }
    append(run, { events, patch })
    this.#runs.set(spec.run_id, run)
    this.#warn?.('Runs are stored only in memory. They are lost when this process ends.')
    this.#warn = undefined
  }

  async update(runId: string, change: Change): Promise<void> {
    const run = this.#runs.get(runId)
    if (run === undefined) throw runNotFound(runId)
    checkOrder(runId, run.record.last_seq, change.events)
    append(run, change)
  }

  async get(runId: string): Promise<RunRecord | undefined> {
    const run = this.#runs.get(runId)
    return run && { ...run.record }
  }

  async list(query: RunQuery): Promise<RunPage> {
    const checked = checkQuery(query)
    const all = [...this.#runs.values()].map((run) => run.record)
    const page = pageOf(checked, all)
    return { ...page, runs: page.runs.map((record) => ({ ...record })) }
  }

  async counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts> {
    const checked = checkQuery({ ...query, limit: 1 })
    return countRuns(
      found(
        checked,
        [...this.#runs.values()].map((run) => run.record),
      ),
    )
  }

  async events(runId: string, after: number, limit: number): Promise<RunEvent[]> {
    // Event n is at index n - 1, since there are no gaps.
    return this.#runs.get(runId)?.events.slice(after, after + limit) ?? []
  }

  async open(): Promise<string[]> {
    return [...this.#runs.values()]
      .map((run) => run.record)
      .filter((record) => !isFinalRun(record.status))
      .sort(oldestFirst)
      .map((record) => record.run_id)
  }

  async markInterrupted(message: string, runIds?: readonly string[]): Promise<string[]> {
    const marked: string[] = []
    for (const runId of runIds ?? (await this.open())) {
      const run = this.#runs.get(runId)
      if (run === undefined || isFinalRun(run.record.status)) continue
      append(run, interruption(run.record.last_seq, message))
      marked.push(runId)
    }
    return marked
  }

  async remove(runIds: readonly string[]): Promise<void> {
    for (const runId of runIds) this.#runs.delete(runId)
  }

  async close(): Promise<void> {}
}

function append(run: StoredRun, change: Change): void {
  for (const event of change.events) run.events.push(event)
  run.record.last_seq += change.events.length
  applyPatch(run.record, change.patch)
}
