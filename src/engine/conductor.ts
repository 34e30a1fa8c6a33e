import type { GivenInput } from '../contract/agent.ts'
import type { AttemptSpec } from '../contract/attempt.ts'
import { messageOf } from '../contract/errors.ts'
import type { EventOf, NewEvent, RunEvent } from '../contract/events.ts'
import { attemptId } from '../contract/ids.ts'
import type { RunSpec } from '../contract/run.ts'
import { isFinalRun, type Reason } from '../contract/status.ts'
import type { Log } from '../platform/log.ts'
import { approvalAnswers } from './approvals.ts'
import { openChildren } from './child.ts'
import { Committer } from './committer.ts'
import { decide } from './decide.ts'
import { evolve } from './evolve.ts'
import type { EngineFace } from './face.ts'
import { HostedAttempts } from './hosted-attempts.ts'
import { addressInput, type InputAddress } from './inputs.ts'
import type { RunNames } from './lookup.ts'
import { mainOutcome } from './outcome.ts'
import type { Plan } from './plan.ts'
import type { Clock, OutputStore, RunStore, StepHost } from './ports.ts'
import { record } from './record.ts'
import { engineClosed, runEnded } from './refusals.ts'
import { RunWriter } from './run-writer.ts'
import { initialState, type RunState } from './state.ts'
import { WakeUp } from './wake-up.ts'

export interface ConductorPorts {
  store: RunStore
  host: StepHost
  outputs: OutputStore
  clock: Clock
  /** After each commit. */
  committed(conductor: Conductor, events: readonly RunEvent[]): void
  startChild(conductor: Conductor, child: EventOf<'child.started'>): void
  cancelChild(runId: string, force: boolean): void
  /** As `CommitterOptions.failed`. */
  storeFailed(runId: string, error: unknown, tries: number): number | undefined
  log: Log
}

/**
 * The one loop around deciding: events in, decisions, commit, then carry out. Inputs are folded at once and in
 * order; what follows from them is carried out only after it is committed.
 */
export class Conductor {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  readonly #ports: ConductorPorts
  readonly #writer: RunWriter
  readonly #committer: Committer
  readonly #attempts: HostedAttempts
  readonly #wakeUp: WakeUp
  /** Whether by force. */
  readonly #canceledChildren = new Map<string, boolean>()
  #closed = false

  /** A new run; or one taken up again, with the events of its log. */
  constructor(ports: ConductorPorts, spec: RunSpec, plan: Plan, log: readonly RunEvent[] = []) {
    this.spec = spec
    this.plan = plan
    this.#ports = ports
    this.state = initialState(plan)
    for (const event of log) evolve(this.state, event)
    this.#attempts = new HostedAttempts(this, ports)
    this.#wakeUp = new WakeUp(ports.clock, () => void this.input([]).catch(() => {}))
    this.#writer = new RunWriter(ports.store, spec, this.state)
    this.#committer = new Committer({
      write: (events) => this.#writer.write(events),
      committed: (events) => ports.committed(this, events),
      // A run that is not there yet is refused at once: nothing of it can be lost.
      failed: (error, tries) =>
        this.#closed || !this.#writer.created ? undefined : ports.storeFailed(spec.run_id, error, tries),
      broke: (error) =>
        ports.log(`Run ${spec.run_id}: ${messageOf(error)}`, { level: 'error', run_id: spec.run_id }),
    })
  }

  get ended(): boolean {
    return isFinalRun(this.state.status)
  }

  /** What a step of it is told of the run. */
  get names(): RunNames {
    const over = this.state.first_open >= this.state.main.length
    const status = over ? mainOutcome(this.plan, this.state).status : undefined
    return { run_id: this.spec.run_id, of: this.spec, status }
  }

  /** Commits the new run. With `waiting` it stays queued until `start`. */
  async create(waiting: string | undefined): Promise<void> {
    const created: NewEvent = {
      type: 'run.created',
      workflow_name: this.spec.workflow_name,
      vars: this.spec.vars,
    }
    await this.input([
      created,
      waiting === undefined ? { type: 'run.started' } : { type: 'run.waiting', why: waiting },
    ])
  }

  /** Its turn has come; nothing happens where it was canceled meanwhile. */
  start(): Promise<void> {
    return this.state.status === 'queued' ? this.input([{ type: 'run.started' }]) : this.flush()
  }

  /** Picks up what the log holds open: attempts and children. */
  async resume(): Promise<void> {
    // Listed first: what begins while the outputs are looked up is no matter of taking up.
    const children = openChildren(this.state)
    await this.#attempts.takeUp()
    if (this.#closed) return
    for (const child of children) this.#ports.startChild(this, child)
    await this.input([])
  }

  async cancel(options: { by?: string; message?: string; force: boolean }): Promise<void> {
    if (this.ended) throw runEnded(this.spec.run_id, this.state.status)
    const { cancel } = this.state
    if (cancel && (cancel.force || !options.force)) return this.flush()
    await this.input([{ type: 'run.cancel_requested', ...options }])
    if (options.force) this.#attempts.endAll('canceled')
  }

  /** Throws as `approvalAnswers`. */
  async answer(answer: Parameters<EngineFace['answer']>[1]): Promise<void> {
    await this.input(approvalAnswers(this.spec.run_id, this.state, answer))
  }

  /** Gives an input to the attempt that takes it; answers its id. Throws as `addressInput`. */
  async give(given: GivenInput, to: InputAddress): Promise<string> {
    if (this.ended) throw runEnded(this.spec.run_id, this.state.status)
    const { attempt, input, known } = addressInput(this.spec.run_id, this.state, given, to)
    if (known) await this.flush()
    else await this.input([{ type: 'input.given', attempt: attempt.number, input, by: to.by }])
    if (!known && !this.#closed) this.#ports.host.input?.(attemptId(this.spec.run_id, attempt.number), input)
    return input.input_id
  }

  async childFinished(end: Omit<EventOf<'child.finished'>, 'seq' | 'time' | 'type'>): Promise<void> {
    const step = this.state[end.phase].find((candidate) => candidate?.name === end.step)
    if (step?.instances[end.instance]?.status === 'waiting')
      await this.input([{ type: 'child.finished', ...end }])
  }

  /** Whether this run has asked for the end of a child, and whether by force; undefined: it has not. */
  canceledChild(runId: string): boolean | undefined {
    return this.#canceledChildren.get(runId)
  }

  /** Keeps the text of a notifier's failure. */
  async notifyFailed(error: string): Promise<void> {
    this.#writer.notifyFailed(error)
    await this.#committer.add([], [], false)
  }

  /** Resolves when all that has happened so far is committed. */
  flush(): Promise<void> {
    return this.#committer.flush()
  }

  /**
   * Folds events, decides what follows, and commits all of it; resolves after the commit. What comes after the end
   * changes nothing. Rejects where the store has failed for good and where the engine is closed.
   */
  input(events: readonly NewEvent[], lazy = false): Promise<void> {
    if (this.#closed) return Promise.reject(engineClosed())
    if (this.ended) return this.flush()
    const log: RunEvent[] = []
    let effects: (() => void)[] = []
    try {
      for (const event of events) this.#fold(event, log)
      this.#decide(log, effects)
    } catch (error) {
      effects = this.#breakOff(error, log)
    }
    if (this.ended) effects.push(() => this.#ports.host.runEnded(this.spec.run_id))
    return this.#committer.add(log, effects, lazy)
  }

  #decide(log: RunEvent[], effects: (() => void)[]): void {
    let wakeAtMs: number | undefined
    const due = (atMs: number): boolean => this.#wakeUp.due(atMs)
    const place = (spec: AttemptSpec) => this.#ports.host.place(spec)
    for (let again = true; again; ) {
      again = false
      // Each round names all that is still waited for.
      wakeAtMs = undefined
      const now = this.#ports.clock.now()
      const { plan, state, spec } = this
      for (const intent of decide({ plan, state, due, run_id: spec.run_id, carried: spec.carried })) {
        if (intent.type === 'wake') wakeAtMs = Math.min(wakeAtMs ?? intent.at_ms, intent.at_ms)
        const recorded = record(intent, { plan, state, names: this.names, now, place })
        for (const event of recorded.events) this.#fold(event, log)
        again ||= recorded.events.length > 0
        const { start } = recorded
        if (start) effects.push(() => this.#attempts.start(start))
        else if (intent.type === 'cancel_attempt')
          effects.push(() => this.#attempts.cancel(intent.number, intent.reason, intent.force))
        else if (intent.type === 'start_child') {
          const child = log.at(-1) as EventOf<'child.started'>
          effects.push(() => this.#ports.startChild(this, child))
        } else if (intent.type === 'cancel_child') this.#cancelChild(intent, effects)
      }
    }
    this.#wakeUp.at(wakeAtMs)
  }

  /** Deciding itself went wrong: the run ends here rather than never, and what it has running is ended. */
  #breakOff(error: unknown, log: RunEvent[]): (() => void)[] {
    const message = messageOf(error)
    this.#ports.log(`Run ${this.spec.run_id} is broken off: ${message}`, {
      level: 'error',
      run_id: this.spec.run_id,
    })
    this.#wakeUp.at(undefined)
    const children = openChildren(this.state)
    if (!this.ended) this.#fold({ type: 'run.finished', status: 'failed', reason: 'internal', message }, log)
    return [() => this.#endAll('internal', children)]
  }

  /** The run is given up: what was placed for it, or runs, is ended. */
  abandon(): void {
    this.#stop()
    this.#endAll('canceled', openChildren(this.state))
  }

  /** Stops conducting; what runs is left to its host. Twice is once. */
  async close(): Promise<void> {
    this.#stop()
    await this.flush().catch(() => {})
  }

  #stop(): void {
    this.#closed = true
    this.#wakeUp.at(undefined)
    this.#attempts.close()
  }

  #endAll(reason: Reason, children: readonly { run_id: string }[]): void {
    this.#attempts.endAll(reason)
    for (const { run_id } of children) {
      this.#canceledChildren.set(run_id, true)
      this.#ports.cancelChild(run_id, true)
    }
  }

  #fold(event: NewEvent, log: RunEvent[]): void {
    const time = new Date(this.#ports.clock.now()).toISOString()
    const whole = { seq: this.state.seq + 1, time, ...event } as RunEvent
    evolve(this.state, whole)
    log.push(whole)
  }

  #cancelChild(intent: { run_id: string; force: boolean }, effects: (() => void)[]): void {
    const before = this.#canceledChildren.get(intent.run_id)
    if (before === true || before === intent.force) return
    this.#canceledChildren.set(intent.run_id, intent.force)
    effects.push(() => this.#ports.cancelChild(intent.run_id, intent.force))
  }
}
