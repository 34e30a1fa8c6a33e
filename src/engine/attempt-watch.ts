import type { AttemptEnd, AttemptReport, StreamName } from '../contract/attempt.ts'
import type { NewEvent } from '../contract/events.ts'
import { attemptId } from '../contract/ids.ts'
import type { Conductor, ConductorPorts } from './conductor.ts'
import { judge } from './judge.ts'
import { OUTPUT_EVENT_MS, OutputJoiner } from './output-joiner.ts'
import type { AttemptSink, Placement } from './ports.ts'

/** What a host tells of one attempt, on its way into the log. */
export class AttemptWatch implements AttemptSink {
  readonly #conductor: Conductor
  readonly #ports: ConductorPorts
  readonly #number: number
  readonly #id: string
  readonly #names: { step: string; host: string }
  readonly #over: () => void
  #joiner = new OutputJoiner()
  #timer: NodeJS.Timeout | undefined
  #ending: Promise<void> | undefined
  #closed = false

  constructor(
    conductor: Conductor,
    ports: ConductorPorts,
    number: number,
    names: { step: string; host: string },
    over: () => void,
  ) {
    this.#conductor = conductor
    this.#ports = ports
    this.#number = number
    this.#id = attemptId(conductor.spec.run_id, number)
    this.#names = names
    this.#over = over
  }

  /** After a restart: what the output store has beyond the log is told again. Answers the lengths kept. */
  async recover(told: Partial<Record<StreamName, number>>): Promise<Partial<Record<StreamName, number>>> {
    const known = []
    for (const stream of ['stdout', 'stderr'] as const) {
      const kept = await this.#ports.outputs.length(this.#id, stream)
      if (kept > 0) known.push({ stream, told: told[stream] ?? 0, kept })
    }
    this.#joiner = new OutputJoiner(known)
    return Object.fromEntries(known.map(({ stream, kept }) => [stream, kept]))
  }

  waiting(why: string): void {
    if (this.#attempt.end || this.#attempt.waiting === why) return
    void this.#conductor.input([{ type: 'attempt.waiting', attempt: this.#number, why }], true).catch(() => {})
  }

  async assigned(placement: Placement): Promise<boolean> {
    if (this.#closed || this.#attempt.end || this.#attempt.cancel) return false
    await this.#conductor.input([{ type: 'attempt.assigned', attempt: this.#number, ...placement }])
    return !this.#attempt.end
  }

  async report(report: AttemptReport, epoch: number): Promise<void> {
    if (this.#closed || this.#attempt.end) return this.#ending
    if (epoch < this.#attempt.epoch) return
    const attempt = this.#number
    if (report.type === 'ended') {
      this.#ending ??= this.#end(report)
      return this.#ending
    }
    if (report.type === 'phase') return this.#conductor.input([{ ...report, type: 'attempt.phase', attempt }], true)
    if (this.#attempt.started) return
    return this.#conductor.input([{ type: 'attempt.started', attempt, pid: report.pid }], true)
  }

  async output(stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    if (this.#closed || this.#attempt.end) return offset + bytes.length
    const before = offset
    const kept = await this.#ports.outputs.append(this.#id, stream, offset, bytes)
    if (kept <= before) return kept
    const fresh = bytes.subarray(Math.max(0, bytes.length - (kept - before)))
    if (this.#joiner.add(stream, fresh, kept)) this.#tell()
    else this.#timer ??= setTimeout(() => this.#tell(), OUTPUT_EVENT_MS)
    return kept
  }

  length(stream: StreamName): Promise<number> {
    return this.#ports.outputs.length(this.#id, stream)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  get #attempt() {
    return this.#conductor.state.attempts[this.#number - 1]!
  }

  #tell(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#closed || this.#attempt.end) return
    const events = this.#ranges(false)
    if (events.length > 0) void this.#conductor.input(events, true).catch(() => {})
  }

  #ranges(all: boolean): NewEvent[] {
    const common = { type: 'output', attempt: this.#number, ...this.#names } as const
    return this.#joiner.take(all).map((range) => ({ ...common, ...range }))
  }

  async #end(reported: AttemptEnd): Promise<void> {
    const end = { ...reported, streams: { ...reported.streams }, output_files: { ...reported.output_files } }
    for (const stream of new Set([...this.#joiner.streams, ...(Object.keys(end.streams) as StreamName[])])) {
      const kept = await this.#ports.outputs.seal(this.#id, stream)
      const sent = end.streams[stream]
      if (sent && (sent.length !== kept.length || sent.sha256 !== kept.sha256) && end.outcome === 'success') {
        end.outcome = 'failed'
        end.reason = 'output_mismatch'
        end.message = `${stream} is ${sent.length} bytes where it was made and ${kept.length} bytes here, or differs.`
      }
      end.streams[stream] = { length: kept.length, sha256: kept.sha256 }
      if (kept.file) end.output_files[stream] ??= kept.file
    }
    if (Object.keys(end.streams).length === 0) end.streams = undefined!
    if (Object.keys(end.output_files).length === 0) end.output_files = undefined!
    clearTimeout(this.#timer)
    const { plan, state } = this.#conductor
    const { step } = plan[this.#attempt.phase][this.#attempt.index]!
    const mayRetry = !(this.#attempt.phase === 'main' && (state.cancel || state.timed_out))
    const finished = judge(step, this.#attempt, end, this.#ports.clock.now(), mayRetry)
    this.#over()
    await this.#conductor.input([...this.#ranges(true), finished])
  }
}
