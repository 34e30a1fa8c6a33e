import type { StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import type { HeldAttempt } from '../ports.ts'
import { deliver } from './delivery.ts'

const CHUNK_BYTES = 256 * 1024
const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/** Hands what an attempt says to the engine, in order, until its end. */
export class HeldDelivery {
  readonly #held: HeldAttempt
  readonly #sink: AttemptSink
  readonly #signal: AbortSignal
  readonly #sent: Record<StreamName, number>
  #reports: number

  /** `from`: what the engine has already. */
  constructor(
    held: HeldAttempt,
    sink: AttemptSink,
    from: { reports: number } & Partial<Record<StreamName, number>>,
    signal: AbortSignal,
  ) {
    this.#held = held
    this.#sink = sink
    this.#signal = signal
    this.#reports = from.reports
    this.#sent = { stdout: from.stdout ?? 0, stderr: from.stderr ?? 0 }
  }

  /** Resolves when its end is kept, or the signal aborts. */
  async run(): Promise<void> {
    let changed = Promise.withResolvers<void>()
    const tell = () => changed.resolve()
    const stopListening = this.#held.onChange(tell)
    this.#signal.addEventListener('abort', tell)
    try {
      while (!this.#signal.aborted) {
        changed = Promise.withResolvers<void>()
        if (await this.#round()) return
        if (!this.#more()) await changed.promise
      }
    } finally {
      stopListening()
      this.#signal.removeEventListener('abort', tell)
    }
  }

  /** True: its end is told. */
  async #round(): Promise<boolean> {
    for (const stream of STREAMS) await this.#output(stream)
    for (;;) {
      const report = this.#held.reports[this.#reports]
      if (!report || (report.type === 'ended' && this.#outputLeft())) return false
      await deliver(() => this.#sink.report(report, this.#held.epoch), this.#signal)
      if (this.#signal.aborted) return false
      this.#reports++
      if (report.type === 'ended') return true
    }
  }

  async #output(stream: StreamName): Promise<void> {
    const offset = this.#sent[stream]
    if (this.#held.length(stream) <= offset) return
    const bytes = await this.#held.read(stream, offset, CHUNK_BYTES)
    const kept = await deliver(() => this.#sink.output(stream, offset, bytes), this.#signal)
    if (kept !== undefined) this.#sent[stream] = kept
  }

  #outputLeft(): boolean {
    return STREAMS.some((stream) => this.#held.length(stream) > this.#sent[stream])
  }

  #more(): boolean {
    return this.#outputLeft() || this.#held.reports.length > this.#reports
  }
}
