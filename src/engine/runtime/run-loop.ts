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

/** The ports of the engine that all of its runs have. */
export interface RunPorts {
  store: RunStore
  host: StepHost
  outputs: OutputStore
  /** As `EngineOptions.outputQuota`. */
  outputQuota?: OutputQuota
  clock: Clock
  /** As `EngineOptions.passOn`. */
  passOn?: PassOn
  /** As `CommitterOptions.failed`. */
  storeFailed(runId: string, error: unknown, tries: number): number | undefined
  log: Log
}

export interface RunLoopPorts extends RunPorts {
  /** After each commit. */
  committed(events: readonly RunEvent[]): void
  /** Returns what is to be done in the world once it is committed. */
  effectsOf(decided: Decided): Effect[]
  /** The same where the run is broken off. Asked before that is folded: what is open still is. */
  brokenOff(): Effect
  /**
   * The run is to be set aside: its log takes no event for which this error was thrown, or has one that another has written. The loop is closed by then, its state
   * counts no more, and what was not committed is dropped; `committed` resolves when all else is. Absent: it is broken off.
   */
  refused?(error: unknown, committed: Promise<void>): void
}

/** A run that is taken up again, as the store has it. */
export interface KeptRun {
  log: readonly RunEvent[]
  set_aside?: SetAside
}

/**
 * The one loop around deciding: events in, decisions, commit, then carry out. Inputs are folded at once and in
 * order; what follows from them is carried out only after it is committed.
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

  constructor(ports: RunLoopPorts, spec: RunSpec, plan: Plan, { log, set_aside }: KeptRun) {
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
  /** The names that a step of it is told. */
  get names(): RunNames {
    const over = this.state.first_open >= this.state.main.length
    const status = over ? mainOutcome(this.plan, this.state).status : undefined
    return { run_id: this.spec.run_id, of: this.spec, status }
  }

  /**
   * Folds events, decides what follows, and commits all of it; resolves after the commit. What comes after the end
   * changes nothing. Rejects where the store has failed for good, where the engine is closed, and with `run_set_aside`.
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
      // Nothing is kept yet of one that is new: there is nothing to set aside.
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

  /** Keeps the text of a notifier's failure. */
  async notifyFailed(error: string): Promise<void> {
    this.#writer.notifyFailed(error)
    await this.#committer.add([], [], false)
  }

  /** Takes in nothing more; what was taken in is still committed. Twice is once. */
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
    // A run that is not there yet is refused at once: nothing of it can be lost.
    if (this.#closed || !this.#writer.created) return undefined
    const isConflict = error instanceof ErrandError && error.code === 'conflict'
    if (!isConflict || !this.#ports.refused) return this.#ports.storeFailed(this.spec.run_id, error, tries)
    // The state here is not that of the log: what follows from it counts no more.
    this.#setAside(error).catch(() => {})
    return undefined
  }

  /** Events that are not committed are with those who told them, who tell them again once the run is resumed. */
  #setAside(error: unknown): Promise<void> {
    this.close()
    const refusal = runSetAside(this.spec.run_id, messageOf(error))
    this.#ports.refused!(error, this.#committer.stop(refusal))
    return Promise.reject(refusal)
  }

  /** Deciding itself went wrong: the run ends here rather than never, and what it has running is ended. */
  #breakOff(error: unknown, log: RunEvent[]): Effect[] {
    const message = messageOf(error)
    this.#complain(` is broken off: ${message}`)
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

/** An intent, and what it came to; its events are folded. */
export interface Decided {
  intent: Intent
  recorded: Recorded
}

/**
 * Decides until nothing more follows, and answers all of it, with the next moment that is waited for. Each event is
 * folded at once, and `recording` asked anew for each intent: what comes of one may hang on those before.
 */
function decideAll(
  facts: Facts,
  recording: () => RecordFacts,
  fold: (event: NewEvent) => void,
): { decided: Decided[]; wakeAtMs: number | undefined } {
  const decided: Decided[] = []
  for (;;) {
    let more = false
    // Each round names all that is still waited for.
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
