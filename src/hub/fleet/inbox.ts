import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptReport, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { Backoff } from '../../platform/time.ts'

/** Counts reports, and the bytes of each stream. */
export type Marks = Record<'reports' | StreamName, number>

/** Counts the bytes that wait for the sink, so that the link can stop reading when there are too many. */
export interface Meter {
  took(bytes: number): void
  gave(bytes: number): void
}

export interface InboxOptions {
  sink: AttemptSink
  epoch: number
  /** The marks of what is committed already. */
  from: Marks
  /** Called when something was committed, or with `resend` to ask the runner for the rest again. */
  ack(resend: boolean): void
  /** Called once it is committed that the runner took the input. */
  taken?(inputId: string): void
  /** Called once the end is committed. */
  ended(): void
  failed(error: unknown): void
  /** Aborted when the hub closes. */
  signal: AbortSignal
}

type Item =
  | { type: 'report'; n: number; report: AttemptReport }
  | { type: 'output'; stream: StreamName; offset: number; bytes: Buffer; unordered: boolean; meter: Meter }

/**
 * Takes the frames of one attempt and epoch in any order and any number of times, and hands on each report and byte
 * once, in order. It drops frames after a gap and while the store fails. The runner still has them, so the inbox asks
 * for them again.
 */
export class Inbox {
  readonly #options: InboxOptions
  readonly #committed: Marks
  /** Marks of what was handed to the sink. */
  #handed: Marks
  /** Marks of what was accepted: handed to the sink, or waiting in the queue. */
  #next: Marks
  #queue: Item[] = []
  #working = false
  /** True after the store failed; the inbox takes nothing until a pause is over. */
  #stalled = false
  /** The last announced range of bytes of each stream whose order relative to the other stream is not known. */
  readonly #unordered: Partial<Record<StreamName, { from: number; to: number }>> = {}
  readonly #reportedGaps = new Set<StreamName>()
  readonly #backoff = new Backoff({ firstMs: 100, maxMs: 10_000 })

  constructor(options: InboxOptions) {
    this.#options = options
    this.#committed = { ...options.from }
    this.#handed = { ...options.from }
    this.#next = { ...options.from }
  }

  get committed(): Readonly<Marks> {
    return this.#committed
  }

  report(n: number, report: AttemptReport): void {
    if (this.#stalled) return
    const expected = this.#next.reports + 1
    if (n !== expected || !this.#hasOutputOf(report)) {
      this.#options.ack(n >= expected)
      return
    }
    this.#next.reports = n
    this.#queue.push({ type: 'report', n, report })
    void this.#work()
  }

  /** Notes that the order of these upcoming bytes relative to the other stream is not known. */
  unordered(stream: StreamName, offset: number, length: number): void {
    this.#unordered[stream] = { from: offset, to: offset + length }
  }

  output(stream: StreamName, offset: number, bytes: Buffer, meter: Meter): void {
    if (this.#stalled) return
    const next = this.#next[stream]
    if (offset > next) {
      // Everything that follows a gap has one too, so ask only once.
      if (!this.#reportedGaps.has(stream)) this.#options.ack(true)
      this.#reportedGaps.add(stream)
      return
    }
    const fresh = bytes.subarray(next - offset)
    if (fresh.length === 0) {
      this.#options.ack(false)
      return
    }
    this.#reportedGaps.delete(stream)
    this.#next[stream] = next + fresh.length
    meter.took(fresh.length)
    const { from = 0, to = 0 } = this.#unordered[stream] ?? {}
    const unordered = from <= next && next < to
    this.#queue.push({ type: 'output', stream, offset: next, bytes: fresh, unordered, meter })
    void this.#work()
  }

  /**
   * Compares with what the runner has sent. None of it is still on its way, so the inbox asks for whatever is
   * missing.
   */
  compare(sent: Partial<Marks>): void {
    // The end of the stall asks for it anyway.
    if (this.#stalled) return
    const marks = ['reports', 'stdout', 'stderr'] as const
    this.#options.ack(marks.some((mark) => (sent[mark] ?? 0) > this.#next[mark]))
  }

  /**
   * Prepares for a new link. The runner resends everything after the last commit, so the inbox drops what only waits
   * here.
   */
  rewind(): void {
    this.#drop()
    this.#next = { ...this.#handed }
    this.#reportedGaps.clear()
  }

  #hasOutputOf(report: AttemptReport): boolean {
    if (report.type !== 'ended') return true
    const { stdout, stderr } = report.streams ?? {}
    return (stdout?.length ?? 0) <= this.#next.stdout && (stderr?.length ?? 0) <= this.#next.stderr
  }

  /**
   * Works through the queue. Reports do not wait for each other's commit, so that the store can batch them. Output
   * waits until it is stored.
   */
  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    for (let item = this.#queue.shift(); item; item = this.#queue.shift())
      if (item.type === 'report') void this.#handReport(item)
      else await this.#handOutput(item)
    this.#working = false
  }

  async #handReport({ n, report }: Item & { type: 'report' }): Promise<void> {
    const { sink, epoch, ack, taken, ended, signal } = this.#options
    this.#handed.reports = n
    try {
      await sink.report(report, epoch)
    } catch (error) {
      void this.#stall(error)
      return
    }
    if (signal.aborted) return
    this.#keep('reports', n)
    if (report.type === 'input_taken') taken?.(report.input_id)
    if (report.type === 'ended') ended()
    else ack(false)
  }

  async #handOutput({ stream, offset, bytes, unordered, meter }: Item & { type: 'output' }): Promise<void> {
    const { sink, ack, signal } = this.#options
    this.#handed[stream] = offset + bytes.length
    try {
      const length = await sink.output(stream, offset, bytes, unordered || undefined)
      if (signal.aborted) return
      this.#keep(stream, length)
      ack(false)
    } catch (error) {
      if (error instanceof ErrandError && error.code === 'conflict') await this.#measure(stream)
      void this.#stall(error)
    } finally {
      meter.gave(bytes.length)
    }
  }

  #keep(mark: keyof Marks, value: number): void {
    this.#backoff.reset()
    this.#committed[mark] = Math.max(this.#committed[mark], value)
    this.#handed[mark] = Math.max(this.#handed[mark], value)
    this.#next[mark] = Math.max(this.#next[mark], value)
  }

  /** Corrects the mark, because the sink has less than the inbox assumed. */
  async #measure(stream: StreamName): Promise<void> {
    try {
      this.#committed[stream] = await this.#options.sink.length(stream)
    } catch (error) {
      this.#options.failed(error)
    }
  }

  /** Drops everything that is not committed, pauses, and then asks the runner for it again. */
  async #stall(error: unknown): Promise<void> {
    if (this.#stalled || this.#options.signal.aborted) return
    this.#stalled = true
    this.#drop()
    this.#options.failed(error)
    try {
      await sleep(this.#backoff.next(), undefined, { signal: this.#options.signal })
    } catch {
      return
    }
    this.#drop()
    this.#handed = { ...this.#committed }
    this.#next = { ...this.#committed }
    this.#reportedGaps.clear()
    this.#stalled = false
    this.#options.ack(true)
  }

  #drop(): void {
    for (const item of this.#queue) if (item.type === 'output') item.meter.gave(item.bytes.length)
    this.#queue = []
  }
}
