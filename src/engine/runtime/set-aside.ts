import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { NewEvent, RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunRecord, SetAside } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { Log } from '../../platform/log.ts'
import { runSetAside } from '../api.ts'
import { evolve } from '../core/evolve.ts'
import type { Plan } from '../core/plan.ts'
import { initialState, type RunState } from '../core/state.ts'
import type { RunStore } from '../ports.ts'
import { patchOf } from './committer.ts'

/** Milliseconds between attempts to save that a run is set aside, while the store fails. */
const AGAIN_MS = 1000

interface Entry extends SetAside {
  /** Settles when the store has it, or never will. */
  kept: Promise<void>
}

/**
 * The open runs that do not proceed here. `add` puts a run here, and stores that in its record, again and again while
 * the store fails. A run leaves when it is resumed, or when someone else has ended it.
 */
export class SetAsideRuns {
  readonly #store: RunStore
  readonly #log: Log
  readonly #over: (record: RunRecord) => void
  readonly #runs = new Map<string, Entry>()
  readonly #stop = new AbortController()

  /** `over` is called when someone else has ended this run, so that it is no longer set aside. */
  constructor(store: RunStore, log: Log, over: (record: RunRecord) => void) {
    this.#store = store
    this.#log = log
    this.#over = over
  }

  /** Returns their ids, oldest first. */
  ids(): string[] {
    return [...this.#runs.keys()]
  }

  /** Returns the time at which the run was set aside; undefined when it is not. */
  since(runId: string): string | undefined {
    return this.#runs.get(runId)?.since
  }

  has(runId: string): boolean {
    return this.#runs.has(runId)
  }

  /** Throws `run_set_aside` for a run that is set aside. */
  needNot(runId: string): void {
    const entry = this.#runs.get(runId)
    if (entry) throw runSetAside(runId, entry.why)
  }

  /**
   * `committed`: until it resolves, another write of the run is in progress. `before`: it was already set aside when it
   * was loaded.
   */
  add(runId: string, error: unknown, committed: Promise<void>, before?: SetAside): void {
    const why = messageOf(error)
    const since = before?.since ?? new Date().toISOString()
    this.#log(`Run ${runId} is set aside: ${why}`, { level: 'error', run_id: runId })
    const entry: Entry = { since, why, kept: Promise.resolve() }
    this.#runs.set(runId, entry)
    entry.kept = committed.then(() => this.#keep(runId, entry))
  }

  /** Resolves when no write of the run is in progress. */
  async settled(runId: string): Promise<void> {
    await this.#runs.get(runId)?.kept
  }

  delete(runId: string): void {
    this.#runs.delete(runId)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#runs.values()].map(({ kept }) => kept))
  }

  async #keep(runId: string, entry: Entry): Promise<void> {
    const { since, why } = entry
    while (!this.#stop.signal.aborted && this.#runs.get(runId) === entry)
      try {
        // An unreadable record may be why the run is set aside.
        const record = await this.#store.get(runId).catch(() => undefined)
        if (!record || !isFinalRun(record.status))
          return await this.#store.update(runId, { events: [], patch: { set_aside: { since, why } } })
        this.delete(runId)
        return this.#over(record)
      } catch (error) {
        // Its first commit failed; the caller has received that error.
        if (error instanceof ErrandError && error.code === 'run_not_found') return this.delete(runId)
        const text = `Run ${runId} is set aside, but this cannot be stored: ${messageOf(error)}`
        this.#log(text, { level: 'error', run_id: runId })
        await sleep(AGAIN_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
      }
  }
}

/** Folds a whole log. Throws as `evolve`. */
export function folded(plan: Plan, log: readonly RunEvent[]): RunState {
  const state = initialState(plan)
  for (const event of log) evolve(state, event)
  return state
}

/** Folds a log as far as possible: up to the first event that is refused. */
export function foldedAsFar(plan: Plan, log: readonly RunEvent[]): RunState {
  const state = initialState(plan)
  try {
    for (const event of log) evolve(state, event)
    return state
  } catch {
    // The refused event may have changed the state, so the log is folded again without it.
    return folded(plan, log.slice(0, state.seq))
  }
}

/**
 * Returns the change that ends a run that is set aside, whatever its log contains; `state` is that log as far as it can
 * be folded.
 */
export function cancellation(
  { last_seq }: Pick<RunRecord, 'last_seq'>,
  state: RunState | undefined,
  { by, message, force = false }: { by?: string; message?: string; force?: boolean },
): { events: RunEvent[]; patch: RunPatch } {
  const time = new Date().toISOString()
  const end = { status: 'canceled', reason: 'canceled', message } as const
  const events = (
    [
      { type: 'run.cancel_requested', by, message, force },
      { type: 'run.finished', ...end },
    ] satisfies NewEvent[]
  ).map((event, index) => ({ seq: last_seq + 1 + index, time, ...event }))
  const ended = { ...end, finished_at: time, waiting: undefined, set_aside: undefined }
  if (state === undefined) return { events, patch: ended }
  try {
    for (const event of events) evolve(state, event)
    return { events, patch: patchOf(state) }
  } catch {
    // The log is damaged before these events.
    return { events, patch: ended }
  }
}
