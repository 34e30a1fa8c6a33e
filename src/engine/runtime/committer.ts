import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunSpec, SetAside } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import { listRow } from '../core/list-row.ts'
import { type RunState, storedBytes } from '../core/state.ts'
import type { RunStore } from '../ports.ts'

interface Batch {
  events: RunEvent[]
  after: (() => void)[]
  settled: PromiseWithResolvers<void>
}

export interface CommitterOptions {
  /** Stores events; one call at a time. */
  write(events: RunEvent[]): Promise<void>
  /** Called after each commit, before its effects. */
  committed(events: RunEvent[]): void
  /** Called when a write failed. Returns how long to wait before the next try; undefined gives up. */
  failed(error: unknown, tries: number): number | undefined
  /** Called when `committed` or an effect threw, which neither may; the others still run. */
  broke(error: unknown): void
}

/** Milliseconds that a lazy event may wait for others. */
const LAZY_MS = 25

/**
 * Commits the events of one run in order, one write at a time; events that come during a write share the next one.
 * Effects run after their events are committed, never before.
 */
export class Committer {
  readonly #options: CommitterOptions
  #batch: Batch | undefined
  #writing = false
  #lazy: NodeJS.Timeout | undefined
  #drained: Promise<void> = Promise.resolve()
  #gaveUp: unknown

  constructor(options: CommitterOptions) {
    this.#options = options
  }

  /**
   * Adds events. Resolves after the commit; rejects only after giving up. A `lazy` call may wait a moment for others.
   */
  add(events: readonly RunEvent[], effects: readonly (() => void)[], lazy: boolean): Promise<void> {
    if (this.#gaveUp !== undefined) return Promise.reject(this.#gaveUp)
    this.#batch ??= { events: [], after: [], settled: Promise.withResolvers() }
    // One by one: a call cannot take a hundred thousand arguments.
    for (const event of events) this.#batch.events.push(event)
    for (const effect of effects) this.#batch.after.push(effect)
    const { promise } = this.#batch.settled
    if (!lazy) this.#run()
    else this.#lazy ??= setTimeout(() => this.#run(), LAZY_MS)
    return promise
  }

  /** Resolves when all that was added so far is committed. */
  async flush(): Promise<void> {
    if (this.#batch || this.#writing || this.#gaveUp !== undefined) await this.add([], [], false)
  }

  /** Drops what no write has begun for, and accepts nothing more. Resolves when the current write is over. */
  stop(error: unknown): Promise<void> {
    this.#gaveUp ??= error
    clearTimeout(this.#lazy)
    this.#drop(error)
    return this.#drained
  }

  #run(): void {
    clearTimeout(this.#lazy)
    this.#lazy = undefined
    if (this.#writing || !this.#batch) return
    this.#writing = true
    // A microtask later, so that everything added in one go is one write.
    this.#drained = Promise.resolve().then(() => this.#drain())
  }

  async #drain(): Promise<void> {
    while (this.#batch) {
      const batch: Batch = this.#batch
      this.#batch = undefined
      batch.settled.promise.catch(() => {})
      try {
        await this.#write(batch.events)
      } catch (error) {
        this.#gaveUp ??= error
        batch.settled.reject(this.#gaveUp)
        this.#drop(this.#gaveUp)
        break
      }
      for (const effect of [() => this.#options.committed(batch.events), ...batch.after])
        this.#execute(effect)
      batch.settled.resolve()
    }
    this.#writing = false
  }

  #execute(effect: () => void): void {
    try {
      effect()
    } catch (error) {
      this.#options.broke(error)
    }
  }

  #drop(error: unknown): void {
    this.#batch?.settled.promise.catch(() => {})
    this.#batch?.settled.reject(error)
    this.#batch = undefined
  }

  async #write(events: RunEvent[]): Promise<void> {
    for (let tries = 1; ; tries++)
      try {
        return await this.#options.write(events)
      } catch (error) {
        const waitMs = this.#options.failed(error, tries)
        if (waitMs === undefined) throw error
        await new Promise((resolve) => setTimeout(resolve, waitMs))
      }
  }
}

/** Stores the events of one run and, in the same write, the changes that they make to its record. */
export class RunWriter {
  readonly #store: RunStore
  readonly #spec: RunSpec
  readonly #state: RunState
  #created: boolean
  #notifyError: string | undefined
  /** The store's record as it is, and as it will be once the current events are written. */
  #patched: RunPatch
  #next: { events: readonly RunEvent[]; patch: RunPatch } | undefined

  /**
   * `state` is that of the conducted run; all of it is stored at this moment. The first write clears the record's
   * `set_aside`, whose present value is passed here.
   */
  constructor(store: RunStore, spec: RunSpec, state: RunState, set_aside: SetAside | undefined) {
    this.#store = store
    this.#spec = spec
    this.#state = state
    this.#created = state.seq > 0
    this.#patched = { ...patchOf(state), set_aside }
  }

  /** Reports whether the store has the run. */
  get created(): boolean {
    return this.#created
  }

  /** Puts the text of a notifier's failure into the record, with the next write. */
  notifyFailed(error: string): void {
    this.#notifyError = error
  }

  /** Writes events, one call at a time; after a failure, call it with the same events again. */
  async write(events: RunEvent[]): Promise<void> {
    // Computed once: when a failed write is tried again, the state is ahead of these events.
    if (this.#next?.events !== events)
      this.#next = { events, patch: { ...this.#patchAfter(events), last_notify_error: this.#notifyError } }
    const patch = patchBetween(this.#patched, this.#next.patch)
    if (!this.#created) await this.#store.create(this.#spec, events, patch)
    else if (events.length > 0 || Object.keys(patch).length > 0)
      await this.#store.update(this.#spec.run_id, { events, patch })
    this.#created = true
    this.#patched = this.#next.patch
  }

  #patchAfter(events: readonly RunEvent[]): RunPatch {
    const isOutput = events.length > 0 && events.every(({ type }) => type === 'output')
    return isOutput ? patchOf(this.#state, this.#patched.list_row) : patchOf(this.#state)
  }
}

/** Returns what the store's record says of a state. `list_row` is the record's own, where it cannot have changed. */
export function patchOf(state: RunState, list_row = rowText(state)): RunPatch {
  const { status, reason, message, started_at, finished_at, outputs, shares } = state
  const output_bytes = isFinalRun(status) ? outputBytes(state) : undefined
  return {
    status,
    reason,
    message,
    started_at,
    finished_at,
    outputs,
    waiting: waitingOf(state),
    waited_ms: state.work.waited_ms,
    output_bytes,
    list_row,
    shares,
    set_aside: undefined,
  }
}

function rowText(state: RunState): string | undefined {
  const row = listRow(state)
  return row && JSON.stringify(row)
}

/** Sums the output; undefined for none, so that most runs' records can omit it. */
function outputBytes({ attempts }: RunState): number | undefined {
  return attempts.reduce((sum, attempt) => sum + storedBytes(attempt), 0) || undefined
}

/** Returns the fields that differ; a removed field is present as undefined. */
function patchBetween(before: RunPatch, after: RunPatch): RunPatch {
  return Object.fromEntries(
    Object.entries(after).filter(([key, value]) => before[key as keyof RunPatch] !== value),
  )
}

function waitingOf(state: RunState): string | undefined {
  if (state.waiting !== undefined) return state.waiting
  const [first] = state.unplaced
  return first === undefined ? undefined : state.attempts[first - 1]!.waiting
}
