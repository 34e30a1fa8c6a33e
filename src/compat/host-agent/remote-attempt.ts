import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource } from '../../engine/ports.ts'
import { Backoff } from '../../platform/time.ts'
import type { AgentClient, Answer } from './agent-client.ts'
import { askPatiently, HostFailure, type HostTrouble, pauses, type RemoteLimits } from './host-failure.ts'
import { Delivery } from './output-delivery.ts'
import { readInWords, TaskAnswer } from './wire.ts'

/** Long enough that the whole life of a short command is one request. */
const RUN_WAIT_MS = 200
/** Well below the time after which an answer is overdue. */
const POLL_WAIT_MS = 2000

/** An attempt that a host agent runs. */
export class RemoteAttempt {
  readonly #spec: AttemptSpec
  readonly #open: () => AgentClient
  readonly #delivery: Delivery
  readonly #secrets: SecretSource
  readonly #limits: RemoteLimits
  readonly #trouble: HostTrouble
  /** Aborts all requests. */
  readonly #stop = new AbortController()
  /** Unset before the attempt has begun. */
  #client: AgentClient | undefined
  #end: AttemptEnd | undefined
  /** True when the agent has this attempt. */
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
    this.#open = open
    this.#delivery = new Delivery(sink, placement)
    this.#secrets = secrets
    this.#limits = limits
    this.#trouble = { host: spec.host, address: spec.address ?? '' }
  }

  /** Runs the attempt and reports its end to the sink. Rejects only after `leave`. */
  begin(): Promise<void> {
    return this.#toTheEnd(() => this.#submit())
  }

  /** Does as `begin`, for an attempt that the agent may already have. */
  resume(started: boolean): Promise<void> {
    return this.#toTheEnd(async () => {
      this.#arrived = true
      await this.#delivery.resume(started)
      if (this.#canceled !== undefined) void this.#sendCancel(this.#limits.cancelGraceMs)
      const answer = await this.#ask(() => this.#requestStatus(0))
      if (answer !== 'unknown') return this.#read(answer)
      if (started) throw HostFailure.vanished(this.#trouble)
      this.#arrived = false
      return this.#submit()
    })
  }

  /**
   * Cancels the attempt. Idempotent, unless the second call is by force. The end comes through the sink, within a time
   * limit.
   */
  cancel(reason: Reason, force: boolean): void {
    if (this.#canceled !== undefined && !force) return
    this.#canceled ??= reason
    const graceMs = force ? 0 : this.#limits.cancelGraceMs
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#stop.abort(), graceMs + this.#limits.cancelWithinMs)
    if (this.#client !== undefined) void this.#sendCancel(graceMs)
  }

  /** Leaves the attempt to its agent, and reports nothing more to the sink. */
  leave(): void {
    clearTimeout(this.#deadline)
    this.#delivery.leave()
    this.#stop.abort()
  }

  async #toTheEnd(first: () => Promise<TaskAnswer | undefined>): Promise<void> {
    try {
      const end = await this.#follow(first).catch((error: unknown) => this.#endOf(error))
      if (end !== undefined) await this.#delivery.report(end)
    } finally {
      clearTimeout(this.#deadline)
      this.#stop.abort()
    }
  }

  /** Returns the end; undefined when the attempt is no longer ours. */
  async #follow(first: () => Promise<TaskAnswer | undefined>): Promise<AttemptEnd | undefined> {
    this.#client = this.#open()
    if (this.#canceled === undefined && !(await this.#delivery.assigned())) return undefined
    let answer = await first()
    const backoff = new Backoff(pauses)
    for (;;) {
      const news = answer !== undefined && (await this.#take(answer))
      if (answer !== undefined && this.#end !== undefined) {
        if (this.#delivery.isWhole(answer)) return this.#end
        if (!news) throw HostFailure.incomplete(this.#trouble)
      }
      if (news) backoff.reset()
      const requestedAt = performance.now()
      const next = await this.#ask(() => this.#requestStatus(POLL_WAIT_MS))
      if (next === 'unknown') throw HostFailure.vanished(this.#trouble)
      answer = this.#read(next)
      if (this.#delivery.hasNews(answer)) continue
      // The pause is for agents that answer at once instead of waiting for news.
      const early = backoff.next() - (performance.now() - requestedAt)
      if (early > 0) await this.#pause(early)
    }
  }

  async #submit(): Promise<TaskAnswer | undefined> {
    if (this.#canceled !== undefined)
      throw new HostFailure('canceled', this.#canceled, 'Canceled before it was sent.')
    const secrets = await this.#reveal()
    const answer = await this.#ask(() =>
      this.#client!.run(this.#spec, secrets, RUN_WAIT_MS, this.#stop.signal),
    )
    if (answer === 'unknown' && secrets)
      throw HostFailure.refused(
        this.#trouble,
        'This version of its agent does not support secrets. Update it.',
      )
    if (answer === 'unknown')
      throw HostFailure.refused(this.#trouble, 'The server there is not a host agent.')
    this.#arrived = true
    const ended = TaskAnswer.safeParse(answer)
    return ended.success ? ended.data : undefined
  }

  /** Returns the secrets; undefined when the attempt has none. */
  async #reveal(): Promise<Record<string, string> | undefined> {
    if (this.#spec.secrets === undefined) return undefined
    try {
      return await this.#secrets.reveal(this.#spec)
    } catch (error) {
      throw new HostFailure('failed', 'invalid_argument', (error as Error).message)
    }
  }

  #requestStatus(waitMs: number): Promise<Answer> {
    const heldMs = Math.min(waitMs, this.#limits.requestTimeoutMs / 2)
    return this.#client!.status(
      this.#spec.attempt_id,
      this.#delivery.from,
      Math.floor(heldMs),
      this.#stop.signal,
    )
  }

  #ask(request: () => Promise<Answer>): Promise<unknown> {
    return askPatiently(request, {
      arrived: this.#arrived,
      limits: this.#limits,
      trouble: this.#trouble,
      signal: this.#stop.signal,
      report: (phase, message) => this.#delivery.report({ type: 'phase', phase, message }).catch(() => {}),
    })
  }

  /** Delivers what the answer brings. Returns false when it brings nothing. */
  async #take(answer: TaskAnswer): Promise<boolean> {
    const news = this.#delivery.hasNews(answer)
    this.#end = (await this.#delivery.takeReports(answer)) ?? this.#end
    try {
      await this.#delivery.takeOutput(answer)
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
        `The output cannot be stored: ${(error as Error).message}`,
      )
    }
    return news
  }

  async #sendCancel(graceMs: number): Promise<void> {
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

  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#stop.signal })
  }

  #read(answer: unknown): TaskAnswer {
    const read = readInWords(TaskAnswer, answer, 'it')
    if (read.wrong === undefined) return read.data
    throw HostFailure.odd(this.#trouble, read.wrong)
  }

  /** Returns the end to report; none after `leave`. */
  #endOf(error: unknown): AttemptEnd | undefined {
    if (this.#delivery.left) return undefined
    const failure = this.#stop.signal.aborted ? HostFailure.silent(this.#trouble) : error
    const { end } =
      failure instanceof HostFailure ? failure : HostFailure.odd(this.#trouble, (failure as Error).message)
    if (this.#canceled === undefined) return end
    return { ...end, outcome: 'canceled', reason: this.#canceled }
  }
}
