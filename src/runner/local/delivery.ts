import { setTimeout as sleep } from 'node:timers/promises'
import type { StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import type { HeldAttempt, OutputPart } from '../ports.ts'

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 5_000

/**
 * Calls `tell` until the engine has stored the information; returns undefined if the signal comes first. Tries at least
 * once.
 */
export async function deliver<T>(send: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await send()
    } catch {
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return undefined
    }
  }
}

const CHUNK_BYTES = 256 * 1024

/** Passes an attempt's reports and output to the engine, in order, until its end. */
export class HeldDelivery {
  readonly #held: HeldAttempt
  readonly #sink: AttemptSink
  readonly #signal: AbortSignal
  readonly #atAbort: 'leaves' | 'ends'
  readonly #sent: Record<StreamName, number>
  #reports: number

  /**
   * Takes what the engine already has as `from`. `atAbort` decides what happens when the signal aborts: with `leaves`
   * (the default), a later process continues the attempt; with `ends`, the attempt ends with this process, and the rest
   * is delivered with one try for each item.
   */
  constructor(
    held: HeldAttempt,
    sink: AttemptSink,
    from: { reports: number } & Partial<Record<StreamName, number>>,
    signal: AbortSignal,
    atAbort: 'leaves' | 'ends' = 'leaves',
  ) {
    this.#held = held
    this.#sink = sink
    this.#signal = signal
    this.#atAbort = atAbort
    this.#reports = from.reports
    this.#sent = { stdout: from.stdout ?? 0, stderr: from.stderr ?? 0 }
  }

  /** Resolves when its end is delivered, or the attempt is left. */
  async run(): Promise<void> {
    let changed = Promise.withResolvers<void>()
    const notify = () => changed.resolve()
    const stopListening = this.#held.onChange(notify)
    if (this.#atAbort === 'leaves') this.#signal.addEventListener('abort', notify)
    try {
      while (!this.#left) {
        changed = Promise.withResolvers<void>()
        if (await this.#round()) return
        if (!this.#more()) await changed.promise
      }
    } finally {
      stopListening()
      this.#signal.removeEventListener('abort', notify)
    }
  }

  /** Delivers what is there; returns whether the end is delivered. */
  async #round(): Promise<boolean> {
    // No needless await: what is reported in the same turn as the start shares a commit with it.
    const part = this.#held.next(this.#sent)
    if (part) await this.#output(part)
    for (;;) {
      const report = this.#held.reports[this.#reports]
      if (!report || (report.type === 'ended' && this.#outputLeft())) return false
      await deliver(() => this.#sink.report(report, this.#held.epoch), this.#signal)
      if (this.#left) return false
      this.#reports++
      if (report.type === 'ended') return true
    }
  }

  async #output({ stream, offset, length, unordered }: OutputPart): Promise<void> {
    const bytes = await this.#held.read(stream, offset, Math.min(length, CHUNK_BYTES))
    const stored = await deliver(() => this.#sink.output(stream, offset, bytes, unordered), this.#signal)
    if (stored !== undefined) this.#sent[stream] = stored
  }

  get #left(): boolean {
    return this.#atAbort === 'leaves' && this.#signal.aborted
  }

  #outputLeft(): boolean {
    return this.#held.next(this.#sent) !== undefined
  }

  #more(): boolean {
    return this.#outputLeft() || this.#held.reports.length > this.#reports
  }
}
