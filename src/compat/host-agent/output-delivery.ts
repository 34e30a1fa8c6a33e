import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptReport, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { AttemptSink, Placement } from '../../engine/ports.ts'
import { Backoff } from '../../platform/time.ts'
import type { TaskAnswer } from './wire.ts'

type Part = NonNullable<TaskAnswer['order']>[number]

/** Delivers the news in an agent's answers about one attempt to the sink: each report and byte once, in order. */
export class Delivery {
  readonly #sink: AttemptSink
  readonly #streams: Record<StreamName, RemoteStream>
  /** Aborted when the sink must receive nothing more. */
  readonly #left = new AbortController()
  #placement: Placement | undefined
  #reports = 0
  #startReported = false

  constructor(sink: AttemptSink, placement: Placement | undefined) {
    this.#sink = sink
    this.#placement = placement
    this.#streams = { stdout: new RemoteStream('stdout', sink), stderr: new RemoteStream('stderr', sink) }
  }

  get left(): boolean {
    return this.#left.signal.aborted
  }

  /** Returns where the next answer must begin. */
  get from(): { reports: number; streams: Record<StreamName, number> } {
    const { stdout, stderr } = this.#streams
    return { reports: this.#reports, streams: { stdout: stdout.offset, stderr: stderr.offset } }
  }

  /** Continues after what the sink has received earlier. */
  async resume(started: boolean): Promise<void> {
    this.#startReported = started
    await this.#streams.stdout.resume()
    await this.#streams.stderr.resume()
  }

  /** Reports the assignment to the sink; false when the engine no longer wants the attempt. */
  async assigned(): Promise<boolean> {
    if (this.#placement !== undefined) return true
    const placement = { epoch: 1 }
    const isAccepted = await this.#persist(() => this.#sink.assigned(placement))
    this.#placement = placement
    return isAccepted
  }

  hasNews(answer: TaskAnswer): boolean {
    const { stdout, stderr } = this.#streams
    const reports = answer.reports?.length ?? 0
    return reports > 0 || answer.stdout_offset > stdout.offset || answer.stderr_offset > stderr.offset
  }

  /** Delivers all reports except the end, which it returns: that must wait for the output. */
  async takeReports({ reports = [] }: TaskAnswer): Promise<AttemptEnd | undefined> {
    let end: AttemptEnd | undefined
    this.#reports += reports.length
    for (const report of reports) {
      if (report.type === 'ended') end = report
      else await this.report(report)
    }
    return end
  }

  /** Delivers output. Rejects when the sink cannot store it. */
  async takeOutput({ stdout_base64 = '', stderr_base64 = '', order = [] }: TaskAnswer): Promise<void> {
    const left = {
      stdout: Buffer.from(stdout_base64, 'base64'),
      stderr: Buffer.from(stderr_base64, 'base64'),
    }
    // An agent of an earlier release reports no order.
    const rest = (['stdout', 'stderr'] as const).map((stream) => ({ stream, length: left[stream].length }))
    for (const { stream, length, unordered } of [...order, ...rest] as Part[]) {
      await this.#streams[stream].take(left[stream].subarray(0, length), unordered)
      left[stream] = left[stream].subarray(length)
    }
  }

  /** Reports whether all output that the answer mentions is stored. */
  isWhole(answer: TaskAnswer): boolean {
    const { stdout, stderr } = this.#streams
    return stdout.offset >= answer.stdout_length && stderr.offset >= answer.stderr_length
  }

  async report(report: AttemptReport): Promise<void> {
    if (report.type === 'started' && this.#startReported) return
    if (report.type === 'started') this.#startReported = true
    await this.#persist(() => this.#sink.report(report, this.#placement?.epoch ?? 1))
  }

  /** Stops all deliveries; a running one rejects. */
  leave(): void {
    this.#left.abort()
  }

  /** Repeats a write that the store refused, until `leave`. */
  async #persist<T>(write: () => Promise<T>): Promise<T> {
    const backoff = new Backoff({ firstMs: 100, maxMs: 5000 })
    for (;;) {
      try {
        this.#left.signal.throwIfAborted()
        return await write()
      } catch {
        await sleep(backoff.next(), undefined, { signal: this.#left.signal })
      }
    }
  }
}

/** A stream of an attempt, on its way from an agent to the sink. */
class RemoteStream {
  readonly #name: StreamName
  readonly #sink: AttemptSink
  #offset = 0

  constructor(name: StreamName, sink: AttemptSink) {
    this.#name = name
    this.#sink = sink
  }

  /** Returns how much is stored; the next request begins here. */
  get offset(): number {
    return this.#offset
  }

  /** Continues after what the sink has stored earlier. */
  async resume(): Promise<void> {
    this.#offset = await this.#sink.length(this.#name)
  }

  /** Delivers what follows the offset; resolves once it is stored. Rejects when it cannot be stored. */
  async take(bytes: Buffer, unordered?: true): Promise<void> {
    if (bytes.length === 0) return
    try {
      this.#offset = await this.#sink.output(this.#name, this.#offset, bytes, unordered)
    } catch (error) {
      if (!(error instanceof ErrandError && error.code === 'conflict')) throw error
      await this.resume()
    }
  }
}
