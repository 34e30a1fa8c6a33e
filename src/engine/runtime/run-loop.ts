import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { NewEvent, RunEvent } from '../../contract/events.ts'
import type { RunSpec, SetAside } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { Log } from '../../platform/log.ts'
import { engineClosed, runSetAside } from '../api.ts'
import { decide, type Facts } from '../core/decide.ts'
import { evolve } from '../core/evolve.ts'
import type { PassOn } from '../core/inputs.ts'
import type { Intent } from '../core/intents.ts'
import type { RunNames } from '../core/lookup.ts'
import { mainOutcome } from '../core/outcome.ts'
import type { Plan } from '../core/plan.ts'
import { type Recorded, type RecordFacts, record } from '../core/record.ts'
import { initialState, type RunState } from '../core/state.ts'
import type { Clock, OutputStore, RunStore, StepHost } from '../ports.ts'
import { WakeUp } from './clock.ts'
import { Committer, RunWriter } from './committer.ts'
import type { OutputQuota } from './output-quota.ts'

type Effect = () => void

/** The ports of the engine that all of its runs share. */
export interface RunPorts {
  store: RunStore
  host: StepHost
  outputs: OutputStore
  /** See `EngineOptions.outputQuota`. */
  outputQuota?: OutputQuota
  clock: Clock
  /** See `EngineOptions.passOn`. */
  passOn?: PassOn
  /** See `CommitterOptions.failed`. */
  storeFailed(runId: string, error: unknown, tries: number): number | undefined
  log: Log
}

export interface RunLoopPorts extends RunPorts {
  /** Called after each commit. */
  committed(events: readonly RunEvent[]): void
  /** Returns the effects of a decision, to run once it is committed. */
  effectsOf(decided: Decided): Effect[]
  /** Returns the effect of breaking the run off. Called before that is folded, so that what is open still is. */
  brokenOff(): Effect
  /**
   * Called when the run must be set aside: its log refuses the event for which this error was thrown, or contains one
   * that another writer added. By then the loop is closed, its state is invalid, and what was not committed is dropped.
   * `committed` resolves when everything else is committed. Absent: the run is broken off.
   */
  refused?(error: unknown, committed: Promise<void>): void
}

/** A resumed run, as the store has it. */
export interface StoredRun {
  log: readonly RunEvent[]
  set_aside?: SetAside
}

/**
 * The one loop around deciding: events in, decisions, commit, effects. Inputs are folded at once and in order; their
 * effects run only after the commit.
 */
export class RunLoop {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  readonly #ports: RunLoopPorts
  readonly #writer: RunWriter
  readonly #committer: Committer
  readonly #wakeUp: WakeUp
  #closed = false

  constructor(ports: RunLoopPorts, spec: RunSpec, plan: Plan, { log, set_aside }: StoredRun) {
    this.spec = spec
    this.plan = plan
    this.#ports = ports
    this.state = initialState(plan)
    for (const event of log) evolve(this.state, event)
    this.#wakeUp = new WakeUp(ports.clock, () => void this.input([]).catch(() => {}))
    this.#writer = new RunWriter(ports.store, spec, this.state, set_aside)
    this.#committer = new Committer({
      write: (events) => this.#writer.write(events),
      committed: (events) => ports.committed(events),
      failed: (error, tries) => this.#storeFailed(error, tries),
      broke: (error) => this.#complain(`: ${messageOf(error)}`),
    })
  }

  get ended(): boolean {
    return isFinalRun(this.state.status)
  }
  get closed(): boolean {
    return this.#closed
  }
  /** Returns the names that its steps receive. */
  get names(): RunNames {
    const over = this.state.first_open >= this.state.main.length
    const status = over ? mainOutcome(this.plan, this.state).status : undefined
    return { run_id: this.spec.run_id, of: this.spec, status }
  }

  /**
   * Folds events, decides what follows, and commits all of it; resolves after the commit. Events after the end change
   * nothing. Rejects when the store has failed for good, when the engine is closed, and with `run_set_aside`.
   */
  input(events: readonly NewEvent[], lazy = false): Promise<void> {
    if (this.#closed) return Promise.reject(engineClosed())
    if (this.ended) return this.flush()
    const log: RunEvent[] = []
    let effects: Effect[]
    try {
      for (const event of events) this.#fold(event, log)
      effects = this.#decide(log)
    } catch (error) {
      // Nothing of a new run is stored yet, so there is nothing to set aside.
      const isNew = this.state.seq === log.length
      if (this.#ports.refused && !isNew) return this.#setAside(error)
      effects = this.#breakOff(error, log)
    }
    if (this.ended) effects.push(() => this.#ports.host.runEnded(this.spec.run_id))
    return this.#committer.add(log, effects, lazy)
  }

  /** Resolves when all that has happened so far is committed. */
  flush(): Promise<void> {
    return this.#committer.flush()
  }

  /** Stores the text of a notifier's failure. */
  async notifyFailed(error: string): Promise<void> {
    this.#writer.notifyFailed(error)
    await this.#committer.add([], [], false)
  }

  /** Accepts nothing more; what was accepted is still committed. Idempotent. */
  close(): void {
    this.#closed = true
    this.#wakeUp.at(undefined)
  }

  #decide(log: RunEvent[]): Effect[] {
    const { plan, state, spec } = this
    const due = (atMs: number): boolean => this.#wakeUp.due(atMs)
    const place = (attempt: AttemptSpec) => this.#ports.host.place(attempt)
    const { decided, wakeAtMs } = decideAll(
      { plan, state, due, run_id: spec.run_id, carried: spec.carried, retry: spec.retry },
      () => ({ plan, state, names: this.names, now: this.#ports.clock.now(), place }),
      (event) => this.#fold(event, log),
    )
    this.#wakeUp.at(wakeAtMs)
    return decided.flatMap((one) => this.#ports.effectsOf(one))
  }

  #storeFailed(error: unknown, tries: number): number | undefined {
    // A run that does not exist yet is refused at once: it cannot lose anything.
    if (this.#closed || !this.#writer.created) return undefined
    const isConflict = error instanceof ErrandError && error.code === 'conflict'
    if (!isConflict || !this.#ports.refused) return this.#ports.storeFailed(this.spec.run_id, error, tries)
    // The state here differs from that of the log, so nothing may follow from it.
    this.#setAside(error).catch(() => {})
    return undefined
  }

  /**
   * Sets the run aside. Senders still have the events that are not committed, and send them again once the run is
   * resumed.
   */
  #setAside(error: unknown): Promise<void> {
    this.close()
    const refusal = runSetAside(this.spec.run_id, messageOf(error))
    this.#ports.refused!(error, this.#committer.stop(refusal))
    return Promise.reject(refusal)
  }

  /** Handles a failure of deciding itself: the run ends here rather than never, and its running work is ended. */
  #breakOff(error: unknown, log: RunEvent[]): Effect[] {
    const message = messageOf(error)
    this.#complain(` is aborted: ${message}`)
    this.#wakeUp.at(undefined)
    const effect = this.#ports.brokenOff()
    if (!this.ended) this.#fold({ type: 'run.finished', status: 'failed', reason: 'internal', message }, log)
    return [effect]
  }

  #complain(text: string): void {
    const { run_id } = this.spec
    this.#ports.log(`Run ${run_id}${text}`, { level: 'error', run_id })
  }

  #fold(event: NewEvent, log: RunEvent[]): void {
    const time = new Date(this.#ports.clock.now()).toISOString()
    const whole = { seq: this.state.seq + 1, time, ...event } as RunEvent
    evolve(this.state, whole)
    log.push(whole)
  }
}

/** An intent and its result; its events are folded. */
export interface Decided {
  intent: Intent
  recorded: Recorded
}

/**
 * Decides until nothing more follows. Returns all decisions and the next moment to wait for. Each event is folded at
 * once, and `recording` is called again for each intent, because its result may depend on the intents before.
 */
function decideAll(
  facts: Facts,
  recording: () => RecordFacts,
  fold: (event: NewEvent) => void,
): { decided: Decided[]; wakeAtMs: number | undefined } {
  const decided: Decided[] = []
  for (;;) {
    let more = false
    // Each round names everything that is still waited for.
    let wakeAtMs: number | undefined
    for (const intent of decide(facts)) {
      if (intent.type === 'wake') wakeAtMs = Math.min(wakeAtMs ?? intent.at_ms, intent.at_ms)
      const recorded = record(intent, recording())
      for (const event of recorded.events) fold(event)
      more ||= recorded.events.length > 0
      decided.push({ intent, recorded })
    }
    if (!more) return { decided, wakeAtMs }
  }
}
