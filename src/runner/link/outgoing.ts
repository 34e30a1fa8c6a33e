import {
  type AttemptReport,
  type LaterReportType,
  laterReports,
  type StreamName,
} from '../../contract/attempt.ts'
import { messageOf } from '../../contract/errors.ts'
import {
  type AttemptProgress,
  encodeOutputFrame,
  MAX_FRAME_BYTES,
  MAX_OUTPUT_CHUNK,
  OUTPUT_WINDOW_BYTES,
  type RunnerFrame,
} from '../../contract/protocol.ts'
import type { FrameWriter } from '../../platform/websocket.ts'
import type { HeldAttempt } from '../ports.ts'

/** Lengths by stream; absent: 0. */
type Lengths = Partial<Record<StreamName, number>>

export interface Chunk {
  stream: StreamName
  offset: number
  maxBytes: number
  unordered?: true
}

/** Tracks how far the hub is with one attempt over one link, and so what to send next. */
class Outgoing {
  readonly held: HeldAttempt
  #sentReports: number
  #ackedReports: number
  #sent: Record<StreamName, number>
  #acked: Record<StreamName, number>
  /** Reason why the output cannot be read; the attempt fails with it. */
  broken: string | undefined
  readFailures = 0
  /** Set while reading waits for a retry. */
  paused = false
  closed = false

  readonly #knownReports: ReadonlySet<string>

  constructor(held: HeldAttempt, reports: number, streams: Lengths, knownReports: ReadonlySet<string>) {
    this.held = held
    this.#knownReports = knownReports
    this.#sentReports = reports
    this.#ackedReports = reports
    this.#sent = { stdout: 0, stderr: 0, ...streams }
    this.#acked = { ...this.#sent }
  }

  ack(reports: number, streams: Lengths, resend: boolean): void {
    this.#ackedReports = resend ? reports : Math.max(this.#ackedReports, reports)
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

  /** Lengths that were sent; undefined if all of it is acknowledged. */
  get unacked(): AttemptProgress['sent'] {
    const { stdout, stderr } = this.#sent
    const isAcked =
      this.#sentReports === this.#ackedReports &&
      stdout === this.#acked.stdout &&
      stderr === this.#acked.stderr
    return isAcked ? undefined : { reports: this.#sentReports, streams: { stdout, stderr } }
  }

  /** Returns the next report that may be sent: the end comes after all output. */
  nextReport(): { n: number; report: AttemptReport } | undefined {
    const report = this.held.reports[this.#sentReports]
    if (!report || (report.type === 'ended' && this.#hasOutput())) return undefined
    this.#sentReports++
    return { n: this.#sentReports, report: this.#sendable(report) }
  }

  /** Returns the next output that may be sent: no more than the window beyond what the hub has. */
  nextChunk(): Chunk | undefined {
    if (this.broken !== undefined || this.paused || this.closed) return undefined
    const { stdout, stderr } = this.#sent
    const windowBytes = OUTPUT_WINDOW_BYTES - (stdout - this.#acked.stdout) - (stderr - this.#acked.stderr)
    const part = windowBytes > 0 ? this.held.next(this.#sent) : undefined
    if (part === undefined) return undefined
    const { length, ...where } = part
    return { ...where, maxBytes: Math.min(length, windowBytes, MAX_OUTPUT_CHUNK) }
  }

  /** Records sent bytes; returns false if the hub has asked for other bytes meanwhile. */
  took({ stream, offset }: Chunk, bytes: number): boolean {
    if (this.#sent[stream] !== offset) return false
    this.#sent[stream] += bytes
    return true
  }

  /**
   * Translates a report for a hub of a release that does not know it. The hub counts all reports, so none is left out.
   */
  #inOldWords(report: LaterReport): AttemptReport {
    const text = oldWords(report)
    return this.held.spec.action === 'agent.run'
      ? { type: 'update', update: { kind: 'notice', text } }
      : { type: 'phase', phase: report.type, message: text }
  }

  #hasOutput(): boolean {
    if (this.broken !== undefined) return false
    return this.held.length('stdout') > this.#sent.stdout || this.held.length('stderr') > this.#sent.stderr
  }

  #sendable(report: AttemptReport): AttemptReport {
    if (isLater(report) && !this.#knownReports.has(report.type)) return this.#inOldWords(report)
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

type LaterReport = Extract<AttemptReport, { type: LaterReportType }>

const isLater = (report: AttemptReport): report is LaterReport =>
  (laterReports as readonly string[]).includes(report.type)

function oldWords(report: LaterReport): string {
  switch (report.type) {
    case 'network': {
      const { kind, host, port, why, count, sent_bytes, received_bytes } = report
      const where = port === undefined ? host : `${host}:${port}`
      return kind === 'refused'
        ? `${where} was refused${count === undefined || count === 1 ? '' : ` ${count} times`}: ${why}`
        : `${where} was used: ${sent_bytes} bytes sent, ${received_bytes} received`
    }
    case 'artifact':
      return `${report.artifact.name} was stored: ${report.artifact.bytes} bytes`
    case 'pushed':
      return `${report.branch} was pushed: ${report.sha}`
    case 'pull_request':
      return `pull request ${report.pull_request.url} is ${report.pull_request.state}`
    case 'tests': {
      const { suite, passed, failed, skipped } = report.tests
      return `${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped`
    }
  }
}

/** Unsent bytes in the socket above which reading output waits. */
const HIGH_BYTES = 1024 * 1024
const READ_TRIES = 5
const READ_RETRY_MS = 500

/** Sends reports as they come, and output in turns, so that an attempt with much output does not hold up the others. */
export class OutputPump {
  readonly #writer: FrameWriter
  readonly #waiting = new Set<Outgoing>()
  readonly #retries = new Set<NodeJS.Timeout>()
  #running = false
  #closed = false

  constructor(writer: FrameWriter) {
    this.#writer = writer
  }

  /** Wakes the pump, since there may be something new to send. */
  wake(outgoing: Outgoing): void {
    if (this.#closed || outgoing.closed) return
    this.#sendReports(outgoing)
    if (!outgoing.nextChunk()) return
    this.#waiting.add(outgoing)
    void this.#run()
  }

  /** Stops the pump. Idempotent. */
  close(): void {
    this.#closed = true
    this.#waiting.clear()
    for (const timer of this.#retries) clearTimeout(timer)
    this.#retries.clear()
  }

  #sendReports(outgoing: Outgoing): void {
    const { spec, epoch } = outgoing.held
    for (let next = outgoing.nextReport(); next; next = outgoing.nextReport())
      this.#writer.send(JSON.stringify({ type: 'report', attempt_id: spec.attempt_id, epoch, ...next }))
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    for (const outgoing of this.#waiting) {
      this.#waiting.delete(outgoing)
      await this.#sendChunk(outgoing)
      // It queues again at the end of the line, and its end is sent if this was the last of it.
      this.wake(outgoing)
    }
    this.#running = false
  }

  async #sendChunk(outgoing: Outgoing): Promise<void> {
    const chunk = outgoing.nextChunk()
    if (!chunk) return
    const { held } = outgoing
    const { stream, offset, maxBytes, unordered } = chunk
    let bytes: Buffer
    try {
      bytes = await held.read(stream, offset, maxBytes)
      if (bytes.length === 0) throw new Error(`there is nothing at ${offset}`)
      outgoing.readFailures = 0
    } catch (error) {
      return this.#unreadable(outgoing, messageOf(error))
    }
    if (this.#closed || outgoing.closed || !outgoing.took(chunk, bytes.length)) return
    const of = { attempt_id: held.spec.attempt_id, epoch: held.epoch }
    if (unordered) {
      const marked = { type: 'unordered', ...of, stream, offset, length: bytes.length } as const
      this.#writer.send(JSON.stringify(marked satisfies RunnerFrame))
    }
    const frame = { ...of, stream, offset, bytes }
    await this.#writer.sendPaced(encodeOutputFrame(frame), HIGH_BYTES)
  }

  /** Handles a failed read: it is tried again a few times; then the attempt fails with that reason. */
  #unreadable(outgoing: Outgoing, why: string): void {
    if (this.#closed || outgoing.closed) return
    outgoing.readFailures++
    if (outgoing.readFailures >= READ_TRIES) {
      outgoing.broken = `Its output could not be read on the runner: ${why}`
      return
    }
    outgoing.paused = true
    const timer = setTimeout(() => {
      this.#retries.delete(timer)
      outgoing.paused = false
      this.wake(outgoing)
    }, READ_RETRY_MS)
    this.#retries.add(timer)
  }
}

/** Tracks the attempts whose reports and output go over one link. */
export class TrackedAttempts {
  readonly #pump: OutputPump
  /** Kinds of reports that the hub says it knows. */
  knownReports: ReadonlySet<string> = new Set()
  readonly #tracked = new Map<string, { outgoing: Outgoing; unwatch: () => void }>()
  #closed = false

  constructor(pump: OutputPump) {
    this.#pump = pump
  }

  /** Tracks an attempt from what the hub has. Does nothing if it is tracked already. */
  track(held: HeldAttempt, reports: number, streams: Lengths): void {
    const id = held.spec.attempt_id
    const there = this.#tracked.get(id)
    if (this.#closed || there?.outgoing.held === held) return
    if (there) this.#untrack(id)
    const outgoing = new Outgoing(held, reports, streams, this.knownReports)
    this.#tracked.set(id, { outgoing, unwatch: held.onChange(() => this.#pump.wake(outgoing)) })
    this.#pump.wake(outgoing)
  }

  acked(id: string, epoch: number, reports: number, streams: Lengths, resend: boolean): void {
    const outgoing = this.#find(id, epoch)
    if (!outgoing) return
    outgoing.ack(reports, streams, resend)
    this.#pump.wake(outgoing)
  }

  /** Returns how far each attempt is. */
  progress(): { held: HeldAttempt; sent: AttemptProgress['sent'] }[] {
    return [...this.#tracked.values()].map(({ outgoing }) => ({
      held: outgoing.held,
      sent: outgoing.unacked,
    }))
  }

  /** Drops an attempt that the hub wants no more reports of. */
  drop(id: string, epoch: number): void {
    if (this.#find(id, epoch)) this.#untrack(id)
  }

  /** Stops tracking. Idempotent. */
  close(): void {
    this.#closed = true
    this.#pump.close()
    for (const id of [...this.#tracked.keys()]) this.#untrack(id)
  }

  #find(id: string, epoch: number): Outgoing | undefined {
    const outgoing = this.#tracked.get(id)?.outgoing
    return outgoing?.held.epoch === epoch ? outgoing : undefined
  }

  #untrack(id: string): void {
    const tracked = this.#tracked.get(id)
    if (!tracked) return
    this.#tracked.delete(id)
    tracked.outgoing.closed = true
    tracked.unwatch()
  }
}
