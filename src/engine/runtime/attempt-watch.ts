import { isDeepStrictEqual } from 'node:util'
import type {
  AttemptEnd,
  AttemptReport,
  NetworkReport,
  StreamEnd,
  StreamName,
} from '../../contract/attempt.ts'
import { messageOf } from '../../contract/errors.ts'
import type { NewEvent } from '../../contract/events.ts'
import { attemptId } from '../../contract/ids.ts'
import type { TakenSecrets } from '../../contract/secrets.ts'
import { engineClosed } from '../api.ts'
import { attemptResult } from '../core/attempt-result.ts'
import { type Late, lateEvent, passOnLate, untakenPrompts } from '../core/inputs.ts'
import { ALL_OUTPUT, type AttemptSink, type OutputStore, type Placement } from '../ports.ts'
import { FIRST_OUTPUT_EVENT_MS, OUTPUT_EVENT_MS, OutputJoiner } from './output-joiner.ts'
import type { RunOutput } from './output-quota.ts'
import type { RunLoop, RunPorts } from './run-loop.ts'

/** Kinds of updates that come in large numbers, in quick succession. */
const pieces: ReadonlySet<string> = new Set(['message', 'thought', 'tool'])

/** Listens to one attempt and records what its host reports in the log. */
export class AttemptWatch implements AttemptSink {
  readonly #loop: RunLoop
  readonly #ports: RunPorts
  readonly #number: number
  readonly #id: string
  readonly #names: { step: string; host: string }
  readonly #output: RunOutput | undefined
  readonly #forget: () => void
  #joiner = new OutputJoiner()
  #timer: NodeJS.Timeout | undefined
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #reporting: Promise<void> | undefined
  /** True when some output may not be on disk. */
  #unsynced = false
  #ending: Promise<void> | undefined
  /** Names the limit of its run's output that was reached: no more is stored. */
  #overLimit: string | undefined
  #closed = false
  #isAbandoned = false

  constructor(
    loop: RunLoop,
    ports: RunPorts,
    about: { number: number; names: { step: string; host: string }; output: RunOutput | undefined },
    forget: () => void,
  ) {
    this.#loop = loop
    this.#ports = ports
    this.#number = about.number
    this.#id = attemptId(loop.spec.run_id, about.number)
    this.#names = about.names
    this.#output = about.output
    this.#forget = forget
  }

  /** Reports, after a restart, what the output store has beyond the log. Returns the stored lengths. */
  async recover(reported: Partial<Record<StreamName, number>>): Promise<Partial<Record<StreamName, number>>> {
    const { outputs } = this.#ports
    const overLimit = this.#attempt.cancel === 'output_limit'
    const known = []
    for (const stream of ['stdout', 'stderr'] as const) {
      const synced = reported[stream] ?? 0
      // Over the limit nothing is sent again; the bytes were synced before the limit counted.
      const cut = overLimit ? undefined : outputs.recover?.(this.#id, stream, synced)
      const stored = await (cut ?? outputs.length(this.#id, stream))
      if (stored === 0 && synced === 0) continue
      const tail = await outputs.read(this.#id, stream, Math.max(0, stored - 3), stored)
      known.push({ stream, reported: synced, stored, tail })
    }
    this.#joiner = new OutputJoiner(known)
    for (const { stored } of known) this.#output?.count(stored)
    if (overLimit) this.#overLimit = this.#attempt.cancel_message
    return Object.fromEntries(known.map(({ stream, stored }) => [stream, stored]))
  }

  waiting(why: string): void {
    if (this.#attempt.end || this.#attempt.waiting === why) return
    void this.#loop.input([{ type: 'attempt.waiting', attempt: this.#number, why }], true).catch(() => {})
  }

  secrets(taken: TakenSecrets): void {
    if (this.#attempt.end || isDeepStrictEqual(this.#attempt.secrets ?? {}, taken)) return
    const event = { type: 'attempt.secrets', attempt: this.#number, secrets: taken } as const
    void this.#loop.input([event], true).catch(() => {})
  }

  async assigned(placement: Placement): Promise<boolean> {
    if (this.#isAbandoned) return false
    if (this.#attempt.end || this.#attempt.cancel) {
      // Waits until the host has heard of the cancel.
      await this.#loop.flush().catch(() => {})
      return false
    }
    await this.#loop.input([{ type: 'attempt.assigned', attempt: this.#number, ...placement }])
    return !this.#attempt.end
  }

  async report(report: AttemptReport, epoch: number): Promise<void> {
    if (this.#isAbandoned) return
    if (this.#over) return this.#ending ?? this.#loop.flush()
    if (this.#closed) throw engineClosed()
    if (epoch < this.#attempt.epoch) return
    const attempt = this.#number
    if (report.type === 'ended') {
      this.#ending ??= this.#end(report).catch((error) => {
        this.#ending = undefined
        throw error
      })
      return this.#ending
    }
    if (report.type === 'phase')
      return this.#loop.input([{ ...report, type: 'attempt.phase', attempt }], true)
    if (report.type === 'update')
      return this.#loop.input(
        [{ ...this.#names, type: 'agent.update', attempt, update: report.update }],
        pieces.has(report.update.kind),
      )
    if (report.type === 'input_taken')
      return this.#loop.input([{ type: 'input.taken', attempt, input_id: report.input_id }], true)
    if (report.type === 'network') return this.#loop.input([networkEvent(attempt, report)], true)
    if (report.type !== 'started') return this.#loop.input([factEvent(attempt, report)])
    if (this.#attempt.started) return this.#loop.flush()
    const { pid, isolation, made_box, network } = report
    const started = { type: 'attempt.started', attempt, pid, isolation, made_box, network } as const
    return this.#loop.input([started], true)
  }

  async output(stream: StreamName, offset: number, bytes: Buffer, unordered?: true): Promise<number> {
    if (this.#isAbandoned) return offset + bytes.length
    if (this.#closed) throw engineClosed()
    const end = offset + bytes.length
    if (this.#over) return end
    if (this.#overLimit !== undefined) return ALL_OUTPUT
    const fresh = Math.max(0, end - this.#joiner.saved(stream))
    const { fitting, message } = this.#output?.take(fresh) ?? { fitting: fresh }
    const stored = await this.#keep(
      stream,
      offset,
      bytes.subarray(0, bytes.length - (fresh - fitting)),
      fitting,
      unordered,
    )
    if (message === undefined) return stored
    this.#endOverLimit(message)
    return ALL_OUTPUT
  }

  async #keep(
    stream: StreamName,
    offset: number,
    bytes: Buffer,
    counted: number,
    unordered: true | undefined,
  ): Promise<number> {
    try {
      const stored = await this.#ports.outputs.append(this.#id, stream, offset, bytes)
      if (this.#joiner.add(stream, bytes, stored, unordered)) this.#report()
      else this.#timer ??= setTimeout(() => this.#report(), this.#waitMs())
      return stored
    } catch (error) {
      this.#output?.giveBack(counted)
      throw error
    }
  }

  /** Stops storing output and ends the attempt, unless it cleans up: rollback and `finally` steps run to their end. */
  #endOverLimit(message: string): void {
    if (this.#overLimit !== undefined) return
    this.#overLimit = message
    const { phase, cancel } = this.#attempt
    if (phase !== 'main' || cancel !== undefined || this.#over || this.#closed) return
    void this.#askForEnd(message).catch(() => {})
  }

  /**
   * Syncs first, then requests the end: afterwards nothing is sent again, so what is stored must survive a power
   * failure.
   */
  async #askForEnd(message: string): Promise<void> {
    const { streams } = this.#joiner
    await Promise.allSettled(streams.map((stream) => this.#ports.outputs.sync(this.#id, stream)))
    if (this.#over || this.#closed) return
    const reason = 'output_limit'
    await this.#loop.input([{ type: 'attempt.cancel_requested', attempt: this.#number, reason, message }])
    this.#ports.host.cancel(this.#id, reason)
  }

  /** Returns the end of an attempt whose output is not all stored: it is not a success. */
  #withLimit(end: AttemptEnd): AttemptEnd {
    const message = this.#overLimit
    if (message === undefined) return end
    const canceled = end.outcome === 'canceled' && this.#attempt.cancel === 'output_limit'
    if (end.outcome === 'success' || canceled)
      return { ...end, outcome: 'failed', reason: 'output_limit', message }
    return { ...end, message: end.message === undefined ? message : `${end.message} ${message}` }
  }

  length(stream: StreamName): Promise<number> {
    return this.#ports.outputs.length(this.#id, stream)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** Drops all further reports, because its run was given up and its host must release the attempt. */
  giveUp(): void {
    this.#isAbandoned = true
    this.close()
  }

  get #over(): boolean {
    return this.#attempt.end !== undefined || this.#loop.ended
  }

  get #attempt() {
    return this.#loop.state.attempts[this.#number - 1]!
  }

  #waitMs(): number {
    return Math.max(FIRST_OUTPUT_EVENT_MS, this.#reportedAtMs + OUTPUT_EVENT_MS - performance.now())
  }

  #report(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#closed || this.#over || this.#ending || this.#reporting || this.#unsynced) return
    const isFirst = performance.now() - this.#reportedAtMs > 2 * OUTPUT_EVENT_MS
    this.#reportedAtMs = performance.now()
    this.#reporting = this.#reportSynced(!isFirst).finally(() => {
      this.#reporting = undefined
      if (this.#closed || this.#ending || this.#over) return
      if (this.#joiner.isFull) this.#report()
      else if (this.#joiner.due(false).size > 0)
        this.#timer ??= setTimeout(() => this.#report(), this.#waitMs())
    })
  }

  /** Syncs and records the output that is due; output that comes meanwhile goes into the next event. */
  async #reportSynced(lazy: boolean): Promise<void> {
    const due = this.#joiner.due(false)
    try {
      await Promise.all([...due.keys()].map((stream) => this.#ports.outputs.sync(this.#id, stream)))
    } catch {
      // The end of the attempt will report it.
      this.#unsynced = true
      return
    }
    if (this.#closed) return
    const events = this.#ranges(due)
    if (events.length > 0) void this.#loop.input(events, lazy).catch(() => {})
  }

  #ranges(due: ReadonlyMap<StreamName, number>): NewEvent[] {
    const common = { type: 'output', attempt: this.#number, ...this.#names } as const
    return this.#joiner.take(due).map((range) => ({ ...common, ...range }))
  }

  async #end(reported: AttemptEnd): Promise<void> {
    await this.#reporting
    const end = await sealed(this.#ports.outputs, this.#id, this.#joiner.streams, this.#withLimit(reported))
    clearTimeout(this.#timer)
    let late: Late[] = []
    // Repeats until no prompt came while the others were passed on: the final list is committed with the end.
    for (let ids = this.#untaken; ids.length > late.length; ids = this.#untaken)
      late = await this.#passOn(ids, end)
    const { plan, state } = this.#loop
    const { step } = plan[this.#attempt.phase][this.#attempt.index]!
    const isStopped = this.#attempt.phase === 'main' && (state.cancel || state.timed_out)
    // Another try would have no room either.
    const mayRetry = !isStopped && this.#overLimit === undefined
    const finished = attemptResult(step, this.#attempt, end, this.#ports.clock.now(), mayRetry)
    this.#forget()
    const became = late.map((each) => lateEvent(this.#number, each))
    await this.#loop.input([...this.#ranges(this.#joiner.due(true)), ...became, finished])
  }

  get #untaken(): string[] {
    return untakenPrompts(this.#attempt)
  }

  async #passOn(ids: readonly string[], end: AttemptEnd): Promise<Late[]> {
    const { spec, state } = this.#loop
    // The run that continues with them reads them, and the session, from the log.
    await this.#loop.flush()
    const run = { run_id: spec.run_id, state, attempt: this.#attempt, end }
    return passOnLate(ids, run, this.#ports.passOn)
  }
}

function networkEvent(attempt: number, report: NetworkReport): NewEvent {
  const { kind, host: to, port, why = 'not allowed', count = 1, sent_bytes = 0, received_bytes = 0 } = report
  return kind === 'refused'
    ? { type: 'network.refused', attempt, to, port, why, count }
    : { type: 'network.used', attempt, to, port, sent_bytes, received_bytes }
}

type FactReport = Extract<AttemptReport, { type: 'artifact' | 'pushed' | 'pull_request' | 'tests' }>

/** Makes the event for a fact that a step of a coding task reports. */
function factEvent(attempt: number, report: FactReport): NewEvent {
  const { type, ...fact } = report
  const types = {
    artifact: 'artifact.kept',
    pushed: 'git.pushed',
    pull_request: 'pull_request.changed',
    tests: 'test.results',
  } as const
  return { type: types[type], attempt, ...fact } as NewEvent
}

type Failure = Pick<AttemptEnd, 'reason' | 'message'>

/**
 * Returns the end of an attempt with its streams as stored here. When output differs from what the machine sent, or
 * could not be stored, the attempt is not a success.
 */
async function sealed(
  outputs: OutputStore,
  attemptId: string,
  known: readonly StreamName[],
  reported: AttemptEnd,
): Promise<AttemptEnd> {
  const sent = reported.streams ?? {}
  const streams = { ...sent }
  const output_files = { ...reported.output_files }
  const seal = async (stream: StreamName): Promise<Failure | undefined> => {
    const there = sent[stream]
    try {
      const { file, ...stored } = await outputs.seal(attemptId, stream, there !== undefined)
      streams[stream] = stored
      if (file) output_files[stream] ??= file
      return there && differing(stream, there, stored)
    } catch (error) {
      return { reason: 'output_failed', message: `${stream} could not be stored: ${messageOf(error)}` }
    }
  }
  const all = new Set([...known, ...(Object.keys(sent) as StreamName[])])
  const failures = await Promise.all([...all].map(seal))
  const failure = reported.outcome === 'success' ? failures.find((one) => one !== undefined) : undefined
  return {
    ...reported,
    ...(failure ? { outcome: 'failed', ...failure } : {}),
    streams: Object.keys(streams).length > 0 ? streams : undefined,
    output_files: Object.keys(output_files).length > 0 ? output_files : undefined,
  }
}

function differing(stream: StreamName, there: StreamEnd, stored: StreamEnd): Failure | undefined {
  if (there.length === stored.length && there.sha256 === stored.sha256) return undefined
  const message = `${stream} is ${there.length} bytes on the machine that produced it and ${stored.length} bytes here, or its content differs.`
  return { reason: 'output_mismatch', message }
}
