import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource } from '../../engine/ports.ts'
import { Backoff } from '../../platform/backoff.ts'
import type { AgentClient, Answer } from './agent-client.ts'
import { HostFailure, type HostTrouble } from './host-failure.ts'
import { RemoteStream } from './remote-stream.ts'
import { TaskAnswer } from './schema.ts'

export interface RemoteLimits {
  /** How long one request may take. */
  requestTimeoutMs: number
  /** How long a host that has not answered yet is tried. */
  reachWithinMs: number
  /** How long one that has answered may be silent. */
  lostAfterMs: number
  /** From SIGTERM to SIGKILL. */
  cancelGraceMs: number
  /** How much later the end of a canceled attempt must be known. */
  cancelWithinMs: number
}

/** Long enough for a short command, so that its whole life is one request. */
const RUN_WAIT_MS = 200
const POLL_WAIT_MS = 5000
const pauses = { firstMs: 50, maxMs: 500 }

/** One attempt that a host agent carries out. */
export class RemoteAttempt {
  readonly #spec: AttemptSpec
  readonly #open: () => AgentClient
  readonly #sink: AttemptSink
  readonly #secrets: SecretSource
  readonly #limits: RemoteLimits
  readonly #streams: Record<StreamName, RemoteStream>
  readonly #trouble: HostTrouble
  /** Ends all requests. */
  readonly #stop = new AbortController()
  /** Nothing more is told to the sink. */
  readonly #left = new AbortController()
  #placement: Placement | undefined
  /** Not before it has begun. */
  #client: AgentClient | undefined
  #reports = 0
  #toldStarted = false
  #end: AttemptEnd | undefined
  /** The agent has this attempt. */
  #arrived = false
  #canceled: Reason | undefined
  #deadline: NodeJS.Timeout | undefined

  /** `open` may throw a `HostFailure`. */
  constructor(
    spec: AttemptSpec,
    placement: Placement | undefined,
    open: () => AgentClient,
    sink: AttemptSink,
    secrets: SecretSource,
    limits: RemoteLimits,
  ) {
    this.#spec = spec
    this.#placement = placement
    this.#open = open
    this.#sink = sink
    this.#secrets = secrets
    this.#limits = limits
    this.#streams = { stdout: new RemoteStream('stdout', sink), stderr: new RemoteStream('stderr', sink) }
    this.#trouble = { host: spec.host, address: spec.address ?? '' }
  }

  /** Has it carried out, and tells the sink of its end. Rejects only once it was left. */
  begin(): Promise<void> {
    return this.#toTheEnd(() => this.#submit())
  }

  /** As `begin`, for one that the agent may have already. */
  takeUp(started: boolean): Promise<void> {
    return this.#toTheEnd(async () => {
      this.#arrived = true
      this.#toldStarted = started
      await this.#streams.stdout.takeUp()
      await this.#streams.stderr.takeUp()
      if (this.#canceled !== undefined) void this.#tellCancel(this.#limits.cancelGraceMs)
      const answer = await this.#ask(() => this.#requestStatus(0))
      if (answer !== 'unknown') return TaskAnswer.parse(answer)
      if (started) throw HostFailure.vanished(this.#trouble)
      this.#arrived = false
      return this.#submit()
    })
  }

  /** Twice is once, unless the second is by force. The end comes through the sink, within a bound. */
  cancel(reason: Reason, force: boolean): void {
    if (this.#canceled !== undefined && !force) return
    this.#canceled ??= reason
    const graceMs = force ? 0 : this.#limits.cancelGraceMs
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#stop.abort(), graceMs + this.#limits.cancelWithinMs)
    if (this.#client !== undefined) void this.#tellCancel(graceMs)
  }

  /** Leaves it to its agent, and tells the sink no more. */
  leave(): void {
    clearTimeout(this.#deadline)
    this.#left.abort()
    this.#stop.abort()
  }

  async #toTheEnd(first: () => Promise<TaskAnswer | undefined>): Promise<void> {
    try {
      const end = await this.#follow(first).catch((error: unknown) => this.#endOf(error))
      if (end !== undefined) await this.#tell(end)
    } finally {
      clearTimeout(this.#deadline)
      this.#stop.abort()
    }
  }

  /** Undefined: it is no longer ours to carry out. */
  async #follow(first: () => Promise<TaskAnswer | undefined>): Promise<AttemptEnd | undefined> {
    this.#client = this.#open()
    if (!(await this.#assigned())) return undefined
    let answer = await first()
    const backoff = new Backoff(pauses)
    for (;;) {
      const news = answer !== undefined && (await this.#take(answer))
      if (answer !== undefined && this.#end !== undefined) {
        if (this.#isWhole(answer)) return this.#end
        if (!news) throw HostFailure.incomplete(this.#trouble)
      }
      if (news) backoff.reset()
      const askedAt = performance.now()
      const next = await this.#ask(() => this.#requestStatus(POLL_WAIT_MS))
      if (next === 'unknown') throw HostFailure.vanished(this.#trouble)
      answer = TaskAnswer.parse(next)
      if (this.#hasNews(answer)) continue
      // An agent that does not hold its answer back until there is news is not asked without a pause.
      const early = backoff.next() - (performance.now() - askedAt)
      if (early > 0) await this.#pause(early)
    }
  }

  async #assigned(): Promise<boolean> {
    if (this.#placement !== undefined || this.#canceled !== undefined) return true
    const placement = { epoch: 1 }
    const taken = await this.#persist(() => this.#sink.assigned(placement))
    this.#placement = placement
    return taken
  }

  async #submit(): Promise<TaskAnswer | undefined> {
    if (this.#canceled !== undefined)
      throw new HostFailure('canceled', this.#canceled, 'Canceled before it was sent.')
    const secrets = await this.#reveal()
    const answer = await this.#ask(() =>
      this.#client!.run(this.#spec, secrets, RUN_WAIT_MS, this.#stop.signal),
    )
    if (answer === 'unknown' && secrets)
      throw HostFailure.refused(this.#trouble, 'Its agent is of a version that takes no secrets. Update it.')
    if (answer === 'unknown') throw HostFailure.refused(this.#trouble, 'What answers there is no host agent.')
    this.#arrived = true
    const ended = TaskAnswer.safeParse(answer)
    return ended.success ? ended.data : undefined
  }

  /** Undefined where it has none. */
  async #reveal(): Promise<Record<string, string> | undefined> {
    if (this.#spec.secrets === undefined) return undefined
    try {
      return await this.#secrets.reveal(this.#spec)
    } catch (error) {
      throw new HostFailure('failed', 'invalid_argument', (error as Error).message)
    }
  }

  #requestStatus(waitMs: number): Promise<Answer> {
    const { stdout, stderr } = this.#streams
    const from = { reports: this.#reports, streams: { stdout: stdout.offset, stderr: stderr.offset } }
    const heldMs = Math.min(waitMs, this.#limits.requestTimeoutMs / 2)
    return this.#client!.status(this.#spec.attempt_id, from, Math.floor(heldMs), this.#stop.signal)
  }

  /** Asks until there is an answer, for as long as that may take. `unknown`: the agent does not have it. */
  async #ask(request: () => Promise<Answer>): Promise<unknown> {
    const since = performance.now()
    const backoff = new Backoff(pauses)
    let mayHaveArrived = this.#arrived
    for (;;) {
      const answer = await request()
      this.#stop.signal.throwIfAborted()
      if (answer.type === 'ok') return answer.body
      if (answer.type === 'refused') {
        if (answer.code === 'not_found') return 'unknown'
        throw HostFailure.refused(this.#trouble, answer.message)
      }
      mayHaveArrived ||= answer.again
      const withinMs = this.#arrived
        ? this.#limits.lostAfterMs
        : mayHaveArrived
          ? this.#limits.reachWithinMs
          : 0
      if (performance.now() - since >= withinMs) {
        if (this.#arrived) throw HostFailure.lost(this.#trouble, answer.message, withinMs)
        throw HostFailure.unreachable(this.#trouble, answer.message)
      }
      await this.#pause(backoff.next())
    }
  }

  #hasNews(answer: TaskAnswer): boolean {
    const { stdout, stderr } = this.#streams
    const reports = answer.reports?.length ?? 0
    return reports > 0 || answer.stdout_offset > stdout.offset || answer.stderr_offset > stderr.offset
  }

  /** Hands on what the answer brings. False: it brings nothing. */
  async #take(answer: TaskAnswer): Promise<boolean> {
    const news = this.#hasNews(answer)
    const reports = answer.reports ?? []
    this.#reports += reports.length
    for (const report of reports) {
      if (report.type === 'ended') this.#end = report
      else await this.#tell(report)
    }
    try {
      await this.#streams.stdout.take(Buffer.from(answer.stdout_base64 ?? '', 'base64'))
      await this.#streams.stderr.take(Buffer.from(answer.stderr_base64 ?? '', 'base64'))
    } catch (error) {
      await this.#client!.cancel(
        this.#spec.attempt_id,
        'output_failed',
        this.#limits.cancelGraceMs,
        this.#stop.signal,
      )
      throw new HostFailure(
        'failed',
        'output_failed',
        `The output cannot be kept: ${(error as Error).message}`,
      )
    }
    return news
  }

  #isWhole(answer: TaskAnswer): boolean {
    const { stdout, stderr } = this.#streams
    return stdout.offset >= answer.stdout_length && stderr.offset >= answer.stderr_length
  }

  async #tellCancel(graceMs: number): Promise<void> {
    const backoff = new Backoff(pauses)
    while (!this.#stop.signal.aborted) {
      const reason = this.#canceled ?? 'canceled'
      const answer = await this.#client!.cancel(this.#spec.attempt_id, reason, graceMs, this.#stop.signal)
      if (answer.type === 'ok') return
      // Unknown: the request to run it is still on its way.
      if (answer.type === 'refused' && answer.code !== 'not_found') return
      await this.#pause(backoff.next()).catch(() => {})
    }
  }

  async #tell(report: AttemptReport): Promise<void> {
    if (report.type === 'started' && this.#toldStarted) return
    if (report.type === 'started') this.#toldStarted = true
    await this.#persist(() => this.#sink.report(report, this.#placement?.epoch ?? 1))
  }

  /** Repeats what the store could not take, until this is left. */
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

  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#stop.signal })
  }

  /** The end to tell; none where this was left. */
  #endOf(error: unknown): AttemptEnd | undefined {
    if (this.#left.signal.aborted) return undefined
    const failure = this.#stop.signal.aborted ? HostFailure.silent(this.#trouble) : error
    const { end } =
      failure instanceof HostFailure ? failure : HostFailure.odd(this.#trouble, failure as Error)
    if (this.#canceled === undefined) return end
    return { ...end, outcome: 'canceled', reason: this.#canceled }
  }
}
