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

/** Of each stream; absent: 0. */
type Lengths = Partial<Record<StreamName, number>>

export interface Chunk {
  stream: StreamName
  offset: number
  maxBytes: number
  unordered?: true
}

/** How far the hub is with one attempt, over one link: what is to be sent next. */
class Outgoing {
  readonly held: HeldAttempt
  #sentReports: number
  #ackedReports: number
  #sent: Record<StreamName, number>
  #acked: Record<StreamName, number>
  /** The output cannot be read: the attempt fails with this. */
  broken: string | undefined
  readFailures = 0
  /** Reading is tried again later. */
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

  /** All that was sent; undefined where all of it is acknowledged. */
  get unacked(): AttemptProgress['sent'] {
    const { stdout, stderr } = this.#sent
    const isAcked =
      this.#sentReports === this.#ackedReports &&
      stdout === this.#acked.stdout &&
      stderr === this.#acked.stderr
    return isAcked ? undefined : { reports: this.#sentReports, streams: { stdout, stderr } }
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
    const part = windowBytes > 0 ? this.held.next(this.#sent) : undefined
    if (part === undefined) return undefined
    const { length, ...where } = part
    return { ...where, maxBytes: Math.min(length, windowBytes, MAX_OUTPUT_CHUNK) }
  }

  /** False: the hub has asked for other bytes meanwhile. */
  took({ stream, offset }: Chunk, bytes: number): boolean {
    if (this.#sent[stream] !== offset) return false
    this.#sent[stream] += bytes
    return true
  }

  /** For a hub of a release that does not know such reports. It counts them all, so none is left out. */
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
      return `${report.artifact.name} is kept: ${report.artifact.bytes} bytes`
    case 'pushed':
      return `${report.branch} is pushed: ${report.sha}`
    case 'pull_request':
      return `pull request ${report.pull_request.url} is ${report.pull_request.state}`
    case 'tests': {
      const { suite, passed, failed, skipped } = report.tests
      return `${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped`
    }
  }
}

/** More than this unsent in the socket: reading output waits. */
const HIGH_BYTES = 1024 * 1024
const READ_TRIES = 5
const READ_RETRY_MS = 500

/** Sends reports as they come, and output in turns: an attempt that writes much does not hold up the others. */
export class OutputPump {
  readonly #writer: FrameWriter
  readonly #waiting = new Set<Outgoing>()
  readonly #retries = new Set<NodeJS.Timeout>()
  #running = false
  #closed = false

  constructor(writer: FrameWriter) {
    this.#writer = writer
  }

  /** There may be something new to send. */
  wake(outgoing: Outgoing): void {
    if (this.#closed || outgoing.closed) return
    this.#sendReports(outgoing)
    if (!outgoing.nextChunk()) return
    this.#waiting.add(outgoing)
    void this.#run()
  }

  /** May be called twice. */
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
      // Back to the end of the line, and its end is sent where this was the last of it.
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

  /** A read that fails is tried again a few times; then the attempt fails with that. */
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

/** The attempts whose reports and output go over one link. */
export class TrackedAttempts {
  readonly #pump: OutputPump
  /** Kinds of reports that the hub says it knows. */
  knownReports: ReadonlySet<string> = new Set()
  readonly #tracked = new Map<string, { outgoing: Outgoing; unwatch: () => void }>()
  #closed = false

  constructor(pump: OutputPump) {
    this.#pump = pump
  }

  /** From what the hub has. Nothing happens where it is tracked already. */
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

  /** How far each is. */
  progress(): { held: HeldAttempt; sent: AttemptProgress['sent'] }[] {
    return [...this.#tracked.values()].map(({ outgoing }) => ({
      held: outgoing.held,
      sent: outgoing.unacked,
    }))
  }

  /** The hub wants to hear no more of it. */
  drop(id: string, epoch: number): void {
    if (this.#find(id, epoch)) this.#untrack(id)
  }

  /** May be called twice. */
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
