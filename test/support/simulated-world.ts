import { createHash } from 'node:crypto'
import type { AttemptSpec, StreamEnd, StreamName } from '../../src/contract/attempt.ts'
import type {
  AttemptSink,
  Clock,
  OutputStore,
  Placement,
  RunStore,
  StepHost,
} from '../../src/engine/ports.ts'

/** A simulated clock, which only moves when told to. */
export class SimulatedClock implements Clock {
  #now = Date.parse('2026-01-01T00:00:00Z')
  #wakes: { atMs: number; callback: () => void }[] = []

  now(): number {
    return this.#now
  }

  steady(): number {
    return this.#now
  }

  /** Returns the milliseconds until each pending wake, soonest first. */
  get pendingMs(): number[] {
    return this.#wakes.map(({ atMs }) => atMs - this.#now).toSorted((a, b) => a - b)
  }

  wake(atMs: number, callback: () => void): () => void {
    const entry = { atMs, callback }
    this.#wakes.push(entry)
    return () => {
      this.#wakes = this.#wakes.filter((other) => other !== entry)
    }
  }

  /** Moves to the next pending wake. Returns false if there is none. */
  advance(): boolean {
    const next = this.#wakes.sort((a, b) => a.atMs - b.atMs).shift()
    if (!next) return false
    this.#now = Math.max(this.#now, next.atMs)
    next.callback()
    return true
  }
}

/** Simulated outputs in memory, which survive the engine. */
export class SimulatedOutputs implements OutputStore {
  readonly kept = new Map<string, Buffer>()
  begin(): void {}
  async append(attemptId: string, stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    const before = this.kept.get(`${attemptId}/${stream}`) ?? Buffer.alloc(0)
    if (offset > before.length) throw new Error(`gap at ${offset}`)
    const after = Buffer.concat([before, bytes.subarray(Math.min(bytes.length, before.length - offset))])
    this.kept.set(`${attemptId}/${stream}`, after)
    return after.length
  }
  async length(attemptId: string, stream: StreamName): Promise<number> {
    return this.kept.get(`${attemptId}/${stream}`)?.length ?? 0
  }
  async read(attemptId: string, stream: StreamName, start: number, end: number): Promise<Buffer> {
    return this.kept.get(`${attemptId}/${stream}`)?.subarray(start, end) ?? Buffer.alloc(0)
  }
  async seal(attemptId: string, stream: StreamName): Promise<StreamEnd> {
    const bytes = this.kept.get(`${attemptId}/${stream}`) ?? Buffer.alloc(0)
    return { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  }
  async sync(): Promise<void> {}
  async remove(): Promise<void> {}
  async close(): Promise<void> {}
}

export type Scripted = 'success' | 'failed'

interface Work {
  spec: AttemptSpec
  sink: AttemptSink
  canceled: boolean
  written: number
}

/**
 * Simulated machines, which outlive the engine. `outcomeOf` says how a try ends. `step()` moves one piece of work,
 * chosen by `pick`, by one step.
 */
export class SimulatedMachines implements StepHost {
  /** Counts how often each attempt began. */
  readonly begun = new Map<string, number>()
  /** The tries that ran, as `step/host/vars/try`. */
  readonly carriedOut: string[] = []
  readonly #work = new Map<string, Work>()
  readonly #outcomeOf: (spec: AttemptSpec) => Scripted
  readonly #pick: (count: number) => number

  constructor(outcomeOf: (spec: AttemptSpec) => Scripted, pick: (count: number) => number) {
    this.#outcomeOf = outcomeOf
    this.#pick = pick
  }

  place(): Placement {
    return { runner: 'simulated', epoch: 1 }
  }

  start(spec: AttemptSpec, _placement: Placement | undefined, sink: AttemptSink): void {
    this.begun.set(spec.attempt_id, (this.begun.get(spec.attempt_id) ?? 0) + 1)
    this.carriedOut.push(`${spec.step}/${spec.host}/${spec.env.ITEM ?? ''}/${spec.try}/${spec.action}`)
    this.#work.set(spec.attempt_id, { spec, sink, canceled: false, written: 0 })
  }

  resume(spec: AttemptSpec, placement: Placement | undefined, _known: unknown, sink: AttemptSink): void {
    const work = this.#work.get(spec.attempt_id)
    if (work) work.sink = sink
    else this.start(spec, placement, sink)
  }

  cancel(attemptId: string): void {
    const work = this.#work.get(attemptId)
    if (work) work.canceled = true
  }

  runEnded(): void {}
  async close(): Promise<void> {}

  /**
   * Does one step. Returns false if there is nothing to do. An end stays until its commit is known, as on a real
   * runner.
   */
  async step(): Promise<boolean> {
    const all = [...this.#work.values()]
    const work = all[this.#pick(all.length)]
    if (!work) return false
    const { spec, sink } = work
    const text = Buffer.from(`${spec.step} é ${spec.try}\n`)
    if (work.written < text.length && !work.canceled) {
      const end = Math.min(text.length, work.written + 1 + this.#pick(text.length))
      work.written = Math.max(
        work.written,
        await within(sink.output('stdout', work.written, text.subarray(work.written, end)), work.written),
      )
      return true
    }
    const outcome = work.canceled ? 'canceled' : this.#outcomeOf(spec)
    const exports = { [`V_${spec.step}`]: `${spec.host}:${spec.try}` }
    const end = {
      type: 'ended',
      outcome,
      exports,
      reason: outcome === 'failed' ? 'exit_code' : undefined,
    } as const
    const committed = await within(
      sink.report(end, 1).then(() => true),
      false,
    )
    if (committed) this.#work.delete(spec.attempt_id)
    return true
  }
}

/** Resolves with `otherwise` after a while, because a killed engine never answers. */
async function within<T>(promise: Promise<T>, otherwise: T): Promise<T> {
  let over = false
  const ticks = (async () => {
    for (let tick = 0; tick < 20 && !over; tick++) await new Promise((resolve) => setImmediate(resolve))
    return otherwise
  })()
  const answer = await Promise.race([promise.catch(() => otherwise), ticks])
  over = true
  return answer
}

/** Returns a store whose process dies after so many writes: later writes never return and store nothing. */
export function dyingStore(store: RunStore, writes: number): RunStore & { died: () => boolean } {
  let left = writes
  const write =
    <A extends unknown[], R>(method: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      left-- > 0 ? method(...args) : new Promise<R>(() => {})
  return {
    capabilities: store.capabilities,
    create: write((...args) => store.create(...args)),
    update: write((...args) => store.update(...args)),
    get: (id) => store.get(id),
    list: (query) => store.list(query),
    counts: (query) => store.counts(query),
    events: (...args) => store.events(...args),
    open: () => store.open(),
    markInterrupted: (...args) => store.markInterrupted(...args),
    remove: (runIds) => store.remove(runIds),
    close: () => store.close(),
    died: () => left < 0,
  }
}
