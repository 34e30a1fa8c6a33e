import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptReport, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { Backoff } from '../../platform/time.ts'

/** Reports by number, and bytes of each stream. */
export type Marks = Record<'reports' | StreamName, number>

/** Told how many bytes wait for the sink: the link stops reading where they are too many. */
export interface Meter {
  took(bytes: number): void
  gave(bytes: number): void
}

export interface InboxOptions {
  sink: AttemptSink
  epoch: number
  /** The marks of what is committed already. */
  from: Marks
  /** To be called when something was committed, or when `resend` is asked for. */
  ack(resend: boolean): void
  /** That the input was taken is committed. */
  taken?(inputId: string): void
  /** The end is committed. */
  ended(): void
  failed(error: unknown): void
  /** The hub closes. */
  signal: AbortSignal
}

type Item =
  | { type: 'report'; n: number; report: AttemptReport }
  | { type: 'output'; stream: StreamName; offset: number; bytes: Buffer; unordered: boolean; meter: Meter }

/**
 * Takes the frames of one attempt and epoch in any order and any number of times, and hands each report and byte
 * on once, in order. What it drops (a gap, or while the store fails) the runner still has and is asked for again.
 */
export class Inbox {
  readonly #options: InboxOptions
  readonly #committed: Marks
  /** Handed to the sink. */
  #handed: Marks
  /** Accepted: handed, or waiting in the queue. */
  #next: Marks
  #queue: Item[] = []
  #working = false
  /** The store failed; nothing is taken until this is over. */
  #stalled = false
  /** Bytes that may come, and whose place is not known: of each stream the last that were told of. */
  readonly #unordered: Partial<Record<StreamName, { from: number; to: number }>> = {}
  readonly #gapTold = new Set<StreamName>()
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

  /** The place of these bytes, which come next, is not known. */
  unordered(stream: StreamName, offset: number, length: number): void {
    this.#unordered[stream] = { from: offset, to: offset + length }
  }

  output(stream: StreamName, offset: number, bytes: Buffer, meter: Meter): void {
    if (this.#stalled) return
    const next = this.#next[stream]
    if (offset > next) {
      // All that is under way behind a gap is one too: asked for once.
      if (!this.#gapTold.has(stream)) this.#options.ack(true)
      this.#gapTold.add(stream)
      return
    }
    const fresh = bytes.subarray(next - offset)
    if (fresh.length === 0) {
      this.#options.ack(false)
      return
    }
    this.#gapTold.delete(stream)
    this.#next[stream] = next + fresh.length
    meter.took(fresh.length)
    const { from = 0, to = 0 } = this.#unordered[stream] ?? {}
    const unordered = from <= next && next < to
    this.#queue.push({ type: 'output', stream, offset: next, bytes: fresh, unordered, meter })
    void this.#work()
  }

  /** The runner has sent so much, and nothing of it is still on its way: what did not come is asked for. */
  compare(sent: Partial<Marks>): void {
    // Then it is asked for by itself, once the store takes it.
    if (this.#stalled) return
    const marks = ['reports', 'stdout', 'stderr'] as const
    this.#options.ack(marks.some((mark) => (sent[mark] ?? 0) > this.#next[mark]))
  }

  /** A new link: what was committed is sent from there again, so what only waits here can go. */
  rewind(): void {
    this.#drop()
    this.#next = { ...this.#handed }
    this.#gapTold.clear()
  }

  #hasOutputOf(report: AttemptReport): boolean {
    if (report.type !== 'ended') return true
    const { stdout, stderr } = report.streams ?? {}
    return (stdout?.length ?? 0) <= this.#next.stdout && (stderr?.length ?? 0) <= this.#next.stderr
  }

  /** Reports don't wait for each other's commit, so that the store may join them; output waits to be kept. */
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

  /** The sink has less than was believed. */
  async #measure(stream: StreamName): Promise<void> {
    try {
      this.#committed[stream] = await this.#options.sink.length(stream)
    } catch (error) {
      this.#options.failed(error)
    }
  }

  /** Drops all that is not committed; after a while the runner is asked for it again. */
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
    this.#gapTold.clear()
    this.#stalled = false
    this.#options.ack(true)
  }

  #drop(): void {
    for (const item of this.#queue) if (item.type === 'output') item.meter.gave(item.bytes.length)
    this.#queue = []
  }
}
