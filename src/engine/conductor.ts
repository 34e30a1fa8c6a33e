import type { GivenInput } from '../contract/agent.ts'
import { ErrandError } from '../contract/errors.ts'
import type { EventOf, NewEvent, RunEvent } from '../contract/events.ts'
import { attemptId, splitAttemptId } from '../contract/ids.ts'
import type { RunPatch, RunSpec } from '../contract/run.ts'
import { isFinalRun, type Reason } from '../contract/status.ts'
import type { Log } from '../platform/log.ts'
import { Moments } from '../platform/moments.ts'
import { AttemptWatch } from './attempt-watch.ts'
import { openChildren } from './child.ts'
import { Committer } from './committer.ts'
import { decide } from './decide.ts'
import { engineClosed } from './engine-closed.ts'
import { evolve } from './evolve.ts'
import { addressInput, type InputAddress } from './inputs.ts'
import { mainOutcome } from './outcome.ts'
import { patchOf } from './patch.ts'
import type { Plan } from './plan.ts'
import type { Clock, OutputStore, RunStore, StepHost } from './ports.ts'
import { record } from './record.ts'
import { attemptSpec, requirementsOf } from './spec.ts'
import { initialState, type RunState } from './state.ts'

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
  readonly #committer: Committer
  readonly #watches = new Map<number, AttemptWatch>()
  /** Whether by force. */
  readonly #canceledChildren = new Map<string, boolean>()
  #created: boolean
  #notifyError: string | undefined
  /** What the store's record says, and what it will say once the events being written are there. */
  #patched: RunPatch = {}
  #next: { events: readonly RunEvent[]; patch: RunPatch } | undefined
  /** That are waited for. */
  readonly #moments: Moments
  #wake: { atMs: number; cancel: () => void } | undefined
  #closed = false

  /** A new run; or one taken up again, with the events of its log. */
  constructor(ports: ConductorPorts, spec: RunSpec, plan: Plan, log: readonly RunEvent[] = []) {
    this.spec = spec
    this.plan = plan
    this.#ports = ports
    this.#moments = new Moments(ports.clock)
    this.#created = log.length > 0
    this.state = initialState(plan)
    for (const event of log) evolve(this.state, event)
    this.#patched = patchOf(this.state)
    this.#committer = new Committer({
      write: (events) => this.#write(events),
      committed: (events) => ports.committed(this, events),
      // A run that is not there yet is refused at once: nothing of it can be lost.
      failed: (error, tries) =>
        this.#closed || !this.#created ? undefined : ports.storeFailed(spec.run_id, error, tries),
      broke: (error) =>
        ports.log(`Run ${spec.run_id}: ${messageOf(error)}`, { level: 'error', run_id: spec.run_id }),
    })
  }

  get ended(): boolean {
    return isFinalRun(this.state.status)
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
    const open = this.state.attempts.filter((attempt) => !attempt.end)
    const taken = open.map((attempt) => {
      const spec = attemptSpec(
        this.plan,
        this.state,
        this.#names(),
        this.plan[attempt.phase][attempt.index]!,
        attempt,
      )
      this.#ports.outputs.begin(spec)
      return { attempt, spec, watch: this.#watch(attempt.number, spec.step, spec.host) }
    })
    const lengths = await Promise.all(taken.map(({ attempt, watch }) => watch.recover(attempt.streams)))
    if (this.#closed) return
    this.#rememberRunners()
    for (const [index, { attempt, spec, watch }] of taken.entries()) {
      const { epoch, runner, started, reports, cancel, talk } = attempt
      const placement = epoch > 0 ? { runner, epoch } : undefined
      const known = { started, streams: lengths[index]!, reports, ...(talk && { inputs: talk.untaken }) }
      this.#ports.host.resume(spec, placement, known, watch)
      if (cancel) this.#ports.host.cancel(spec.attempt_id, cancel, this.state.cancel?.force)
    }
    for (const child of children) this.#ports.startChild(this, child)
    await this.input([])
  }

  #rememberRunners(): void {
    const { host } = this.#ports
    for (const { end, runner, host: name } of this.state.attempts) {
      if (!end || runner === undefined) continue
      const requires = requirementsOf(this.plan.workflow, name)
      host.remember?.({ run_id: this.spec.run_id, requires }, runner)
    }
  }

  async cancel(options: { by?: string; message?: string; force: boolean }): Promise<void> {
    if (this.ended) throw runEnded(this.spec.run_id, this.state.status)
    const { cancel } = this.state
    if (cancel && (cancel.force || !options.force)) return this.flush()
    await this.input([{ type: 'run.cancel_requested', ...options }])
    if (options.force) this.#endAttempts('canceled')
  }

  async answer(answer: {
    step: string
    decision: 'approve' | 'reject'
    by?: string
    comment?: string
  }): Promise<void> {
    const events: NewEvent[] = []
    for (const step of [...this.state.main, ...this.state.finally]) {
      if (step.name !== answer.step) continue
      for (const [instance, { approval }] of step.instances.entries())
        if (approval) events.push({ type: 'approval.answered', ...answer, phase: step.phase, instance })
    }
    if (events.length > 0) return this.input(events)
    const waiting = [...this.state.main, ...this.state.finally].filter((step) =>
      step.instances.some((i) => i.approval),
    )
    throw new ErrandError(
      'approval_not_pending',
      `Step "${answer.step}" of run ${this.spec.run_id} waits for no approval.`,
      {
        hint:
          waiting.length > 0
            ? `Waiting: ${waiting.map((step) => `"${step.name}"`).join(', ')}.`
            : 'No step of this run waits for one.',
      },
    )
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
    this.#notifyError = error
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
    const due = (atMs: number): boolean => this.#moments.due(atMs)
    for (let again = true; again; ) {
      again = false
      // Each round names all that is still waited for.
      wakeAtMs = undefined
      const now = this.#ports.clock.now()
      const { plan, state, spec } = this
      for (const intent of decide({ plan, state, due, run_id: spec.run_id, carried: spec.carried })) {
        if (intent.type === 'wake') wakeAtMs = Math.min(wakeAtMs ?? intent.at_ms, intent.at_ms)
        const names = this.#names()
        const recorded = record(intent, {
          plan,
          state,
          names,
          now,
          place: (of) => this.#ports.host.place(of),
        })
        for (const event of recorded.events) this.#fold(event, log)
        again ||= recorded.events.length > 0
        const { start } = recorded
        if (start) effects.push(() => this.#startAttempt(start))
        else if (intent.type === 'cancel_attempt')
          effects.push(() =>
            this.#ports.host.cancel(attemptId(spec.run_id, intent.number), intent.reason, intent.force),
          )
        else if (intent.type === 'start_child') {
          const child = log.at(-1) as EventOf<'child.started'>
          effects.push(() => this.#ports.startChild(this, child))
        } else if (intent.type === 'cancel_child') this.#cancelChild(intent, effects)
      }
    }
    this.#wakeAt(wakeAtMs)
  }

  /** Deciding itself went wrong: the run ends here rather than never, and what it has running is ended. */
  #breakOff(error: unknown, log: RunEvent[]): (() => void)[] {
    const message = messageOf(error)
    this.#ports.log(`Run ${this.spec.run_id} is broken off: ${message}`, {
      level: 'error',
      run_id: this.spec.run_id,
    })
    this.#wakeAt(undefined)
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
    this.#wakeAt(undefined)
    for (const watch of this.#watches.values()) watch.close()
  }

  #endAttempts(reason: Reason): void {
    for (const { number, end } of this.state.attempts)
      if (!end) this.#ports.host.cancel(attemptId(this.spec.run_id, number), reason, true)
  }

  #endAll(reason: Reason, children: readonly { run_id: string }[]): void {
    this.#endAttempts(reason)
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

  #names() {
    const over = this.state.first_open >= this.state.main.length
    const status = over ? mainOutcome(this.plan, this.state).status : undefined
    return { run_id: this.spec.run_id, of: this.spec, status }
  }

  #cancelChild(intent: { run_id: string; force: boolean }, effects: (() => void)[]): void {
    const before = this.#canceledChildren.get(intent.run_id)
    if (before === true || before === intent.force) return
    this.#canceledChildren.set(intent.run_id, intent.force)
    effects.push(() => this.#ports.cancelChild(intent.run_id, intent.force))
  }

  #startAttempt({ spec, placement }: NonNullable<ReturnType<typeof record>['start']>): void {
    if (this.#closed) return
    const watch = this.#watch(splitAttemptId(spec.attempt_id).number, spec.step, spec.host)
    try {
      this.#ports.outputs.begin(spec)
    } catch (error) {
      this.#ports.host.cancel(spec.attempt_id, 'output_failed', true)
      const end = {
        type: 'ended',
        outcome: 'failed',
        reason: 'output_failed',
        message: messageOf(error),
      } as const
      return void watch.report(end, placement?.epoch ?? 0).catch(() => {})
    }
    this.#ports.host.start(spec, placement, watch)
  }

  #watch(number: number, step: string, host: string): AttemptWatch {
    const watch = new AttemptWatch(this, this.#ports, number, { step, host }, () =>
      this.#watches.delete(number),
    )
    this.#watches.set(number, watch)
    return watch
  }

  #wakeAt(atMs: number | undefined): void {
    if (this.#wake?.atMs === atMs) return
    this.#wake?.cancel()
    this.#wake = undefined
    if (atMs === undefined || this.#closed) return
    const cancel = this.#ports.clock.wake(this.#moments.steadyMs(atMs), () => {
      this.#wake = undefined
      this.input([]).catch(() => {})
    })
    this.#wake = { atMs, cancel }
  }

  async #write(events: RunEvent[]): Promise<void> {
    // Taken once: by the time that a failed write is tried again, the state is further on than these events.
    if (this.#next?.events !== events)
      this.#next = { events, patch: { ...patchOf(this.state), last_notify_error: this.#notifyError } }
    const patch = patchOf.changed(this.#patched, this.#next.patch)
    if (!this.#created) await this.#ports.store.create(this.spec, events, patch)
    else if (events.length > 0 || Object.keys(patch).length > 0)
      await this.#ports.store.update(this.spec.run_id, { events, patch })
    this.#created = true
    this.#patched = this.#next.patch
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

export function runEnded(runId: string, status: string): ErrandError {
  return new ErrandError('run_ended', `Run ${runId} has ended (${status}).`, {
    hint: 'Only a run that is queued or running can be changed.',
  })
}
