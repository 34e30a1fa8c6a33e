import type { AttemptReport, StreamName } from '../../contract/attempt.ts'
import { MAX_FRAME_BYTES, MAX_OUTPUT_CHUNK, OUTPUT_WINDOW_BYTES } from '../../contract/protocol.ts'
import type { HeldAttempt } from '../ports.ts'

/** Of each stream; absent: 0. */
export type Lengths = Partial<Record<StreamName, number>>

export interface Chunk {
  stream: StreamName
  offset: number
  maxBytes: number
}

/** How far the hub is with one attempt, over one link: what is to be sent next. */
export class Outgoing {
  readonly held: HeldAttempt
  #sentReports: number
  #sent: Record<StreamName, number>
  #acked: Record<StreamName, number>
  /** The output cannot be read: the attempt fails with this. */
  broken: string | undefined
  readFailures = 0
  /** Reading is tried again later. */
  paused = false
  closed = false

  constructor(held: HeldAttempt, reports: number, streams: Lengths) {
    this.held = held
    this.#sentReports = reports
    this.#sent = { stdout: 0, stderr: 0, ...streams }
    this.#acked = { ...this.#sent }
  }

  ack(reports: number, streams: Lengths, resend: boolean): void {
    if (resend) {
      this.#sentReports = reports
      this.#acked = { stdout: 0, stderr: 0, ...streams }
      this.#sent = { ...this.#acked }
      return
    }
    this.#sentReports = Math.max(this.#sentReports, reports)
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#acked[stream] = Math.max(this.#acked[stream], streams[stream] ?? 0)
      this.#sent[stream] = Math.max(this.#sent[stream], this.#acked[stream])
    }
  }

  /** The next report that may go: the end comes after all output. */
  nextReport(): { n: number; report: AttemptReport } | undefined {
    const report = this.held.reports[this.#sentReports]
    if (!report || (report.type === 'ended' && this.#hasOutput())) return undefined
    this.#sentReports++
    return { n: this.#sentReports, report: this.#sendable(report) }
  }

  /** The next output that may go: no more than the window beyond what the hub has. */
  nextChunk(): Chunk | undefined {
    if (this.broken !== undefined || this.paused || this.closed) return undefined
    const { stdout, stderr } = this.#sent
    const windowBytes = OUTPUT_WINDOW_BYTES - (stdout - this.#acked.stdout) - (stderr - this.#acked.stderr)
    for (const stream of ['stdout', 'stderr'] as const) {
      const left = this.held.length(stream) - this.#sent[stream]
      const maxBytes = Math.min(left, windowBytes, MAX_OUTPUT_CHUNK)
      if (maxBytes > 0) return { stream, offset: this.#sent[stream], maxBytes }
    }
    return undefined
  }

  /** False: the hub has asked for other bytes meanwhile. */
  took({ stream, offset }: Chunk, bytes: number): boolean {
    if (this.#sent[stream] !== offset) return false
    this.#sent[stream] += bytes
    return true
  }

  #hasOutput(): boolean {
    if (this.broken !== undefined) return false
    return this.held.length('stdout') > this.#sent.stdout || this.held.length('stderr') > this.#sent.stderr
  }

  #sendable(report: AttemptReport): AttemptReport {
    if (report.type !== 'ended') return report
    if (this.broken !== undefined)
      return {
        ...report,
        outcome: 'failed',
        reason: 'output_failed',
        message: this.broken,
        streams: undefined,
      }
    // Exports are bounded, but control characters take six bytes each in JSON.
    if (!report.exports || JSON.stringify(report).length < MAX_FRAME_BYTES / 4) return report
    if (Buffer.byteLength(JSON.stringify(report)) < MAX_FRAME_BYTES - 1024) return report
    const message = 'The exported variables are too large to be sent to the hub.'
    return { ...report, outcome: 'failed', reason: 'exports_too_large', message, exports: undefined }
  }
}
