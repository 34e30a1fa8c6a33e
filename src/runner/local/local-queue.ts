import type { AttemptSpec } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement } from '../../engine/ports.ts'
import { deliver } from './delivery.ts'

export interface LocalQueueOptions {
  /** How many attempts run at once. */
  limit: number
  /** How many run now. */
  running(): number
  /** Runs one whose turn it is: at once, so that it counts among those that run. */
  run(spec: AttemptSpec, epoch: number, sink: AttemptSink): void
  /** Tells that one was canceled before it ran. */
  canceled(sink: AttemptSink, reason: Reason, epoch: number): Promise<unknown>
  /** Aborted where nothing is begun any more. */
  signal: AbortSignal
}

interface Queued {
  spec: AttemptSpec
  sink: AttemptSink
}

/** Here each is handed out once. */
const EPOCH = 1

/** Which attempts have a place on this machine, and which wait for one, in their order. */
export class LocalQueue {
  readonly #options: LocalQueueOptions
  /** Given a place that they have not taken yet. */
  readonly #placed = new Set<string>()
  readonly #queued = new Map<string, Queued>()
  /** Taken from the queue while the engine commits that; the reason where it was canceled meanwhile. */
  readonly #assigning = new Map<string, Reason | undefined>()

  constructor(options: LocalQueueOptions) {
    this.#options = options
  }

  place({ attempt_id }: AttemptSpec): Placement | { waiting: string } {
    if (this.#queued.size > 0 || this.#full())
      return { waiting: `${this.#options.limit} steps run on this machine already, which is its limit` }
    this.#placed.add(attempt_id)
    return { epoch: EPOCH }
  }

  /** Holds its place for it no more. */
  leave(attemptId: string): void {
    this.#placed.delete(attemptId)
  }

  /** Queues one that has no place: it runs when its turn comes. */
  add(spec: AttemptSpec, sink: AttemptSink): void {
    this.#queued.set(spec.attempt_id, { spec, sink })
    this.startNext()
  }

  /** Where it has not begun to run, it never does. */
  cancel(attemptId: string, reason: Reason): void {
    const queued = this.#queued.get(attemptId)
    if (queued !== undefined) {
      this.#queued.delete(attemptId)
      void this.#options.canceled(queued.sink, reason, 0)
    }
    if (this.#assigning.has(attemptId)) this.#assigning.set(attemptId, reason)
    if (this.#placed.delete(attemptId)) this.startNext()
  }

  /** A place may have become free. */
  startNext(): void {
    for (const [id, queued] of this.#queued) {
      if (this.#full()) return
      this.#queued.delete(id)
      void this.#assign(queued)
    }
  }

  /** Lets none begin of those that wait. */
  clear(): void {
    this.#queued.clear()
  }

  #full(): boolean {
    const { running, limit } = this.#options
    return this.#placed.size + this.#assigning.size + running() >= limit
  }

  async #assign({ spec, sink }: Queued): Promise<void> {
    const { signal, run, canceled } = this.#options
    const id = spec.attempt_id
    this.#assigning.set(id, undefined)
    const wanted = await deliver(() => sink.assigned({ epoch: EPOCH }), signal)
    const reason = this.#assigning.get(id)
    this.#assigning.delete(id)
    if (wanted === true && reason === undefined && !signal.aborted) return run(spec, EPOCH, sink)
    if (reason !== undefined) await canceled(sink, reason, EPOCH)
    this.startNext()
  }
}
