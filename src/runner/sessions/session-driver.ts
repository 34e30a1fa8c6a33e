import type { AgentUpdateOf } from '../../contract/agent.ts'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { RunnerStop } from '../attempts/runner-stop.ts'
import type { Cause, Ending } from '../attempts/verdict.ts'
import type { Masker } from '../masking/masker.ts'
import type { Box } from '../sandbox/box.ts'
import type { Baseline } from './changed-files.ts'
import { JournaledSession, type JournaledSessionOptions } from './journaled-session.ts'
import { checkRules, decide } from './permission-policy.ts'
import { SessionClock } from './session-clock.ts'
import type { SessionEnd } from './session-outcome.ts'
import type { SessionEvent } from './session-state.ts'
import { Verifier } from './verifier.ts'

const STOP_GRACE_MS = 5_000

/** The attempt that the session is. */
export interface Driven {
  running(pid: number, startedAtMs: number): void
  stop(cause: Cause, graceMs: number): void
  /** Something could not be kept that must be; the message is the journal's where there is none. */
  unkept(message?: string): void
  /** The session has come to its end. */
  conclude(end: SessionEnd): void
  /** The process that carried it out has come to its end, or could not be started. */
  finish(ending: Ending): Promise<void>
}

type OfSession = Omit<JournaledSessionOptions, 'onRunning' | 'onStartFailed' | 'onUnkept' | 'onNews'>
export interface SessionDriverOptions extends OfSession {
  /** The box that it stands in; absent: none. */
  box?: Box
  /** Environment of verify commands. */
  env: NodeJS.ProcessEnv
  masker?: Masker
  /** Of the attempt, among all of this machine. */
  key: string
  baseline: Baseline
  /** Knows when this runner is told to stop. */
  machineStop?: RunnerStop
  attempt: Driven
}

/** Brings about in the world what a session waits for, and tells it of that. */
export class SessionDriver {
  readonly journaled: JournaledSession
  readonly #options: SessionDriverOptions
  readonly #clock: SessionClock
  readonly #verifier: Verifier
  #launching = false
  #hearing = false
  /** The words that an earlier process of this runner had heard are heard again, in the same order: nothing new comes between. */
  #takingUp = false
  #stopping = false

  /** Throws `invalid_argument`. */
  constructor(options: SessionDriverOptions) {
    const { plan, env, key, box, start, masker, machineStop, attempt } = options
    checkRules(plan.permissions)
    this.#options = options
    this.#clock = new SessionClock(plan)
    this.#verifier = new Verifier({
      env,
      attemptKey: key,
      ...{ masker, machineStop },
      enclose: box && ((launch, name) => box.enclose(launch, start.places(launch.cwd)!, name)),
      onResult: (result) => this.journaled.apply({ type: 'verified', ...result }),
    })
    this.journaled = new JournaledSession({
      ...options,
      onRunning: (pid, startedAtMs) => {
        attempt.running(pid, startedAtMs)
        this.#tellHeld()
      },
      onStartFailed: (ending) => void attempt.finish(ending),
      onUnkept: (message) => attempt.unkept(message),
      onNews: () => {
        this.#clock.heard()
        this.goOn()
      },
    })
  }

  /** Comes to where an earlier process of this runner was; `takeUp` follows. */
  async replay(): Promise<void> {
    const { start, baseline } = this.#options
    this.#clock.recovered()
    const { request } = this.journaled.firstLaunched ?? {}
    // Before anything is waited for: what is begun meanwhile finds it there.
    start.keep(request?.fork ? undefined : request?.session_id)
    await baseline.recover(request?.cwd)
    await this.journaled.replay()
    // It may have gone on for longer than sessions are kept.
    start.sessionsKnown(this.journaled.session.sessionId, this.journaled.lastLaunched)
  }

  /** Looks for what the earlier process of this runner has begun. `cause`: it is to be ended. `goOn` follows. */
  async takeUp(cause: Cause | undefined): Promise<void> {
    const { start, attempt } = this.#options
    const { child } = this.journaled
    this.#takingUp = true
    await this.#verifier.endLeft()
    const found = await child?.takeUp({ cause, finish: (ending) => attempt.finish(ending) })
    this.#takingUp = false
    if (!found) return
    const { alive, claim } = found
    if (alive) this.journaled.apply({ type: 'found' })
    if (claim === undefined) return
    try {
      await start.prepare()
      await this.#enter()
      // Let go of meanwhile, it is the next one's to begin.
      if (!this.journaled.over) this.journaled.begin(claim)
    } catch (error) {
      void attempt.finish(start.refusal(error))
    }
  }

  goOn(): void {
    const { session, lastLaunched } = this.journaled
    if (this.#halted) return
    // Before the agent's own words count: it may end for what is told here.
    this.hearDoor()
    for (const question of session.undecided) this.journaled.apply(this.#lookAt(question))
    if (session.breach !== undefined) return void this.#stopForBudget(session.breach)
    if (session.end) return void this.#options.attempt.conclude(session.end)
    const { verifying } = session
    if (verifying) void this.#verifier.run(verifying, lastLaunched!.request.cwd)
    else this.#verifier.stop()
    if (session.wantsProcess && !this.#launching) void this.#launch()
    if (session.waits && session.waitsUntil === undefined) this.journaled.apply(this.#clock.waits())
  }

  /** Now and then. True: the agent has said something. */
  poll(): boolean {
    const spoke = this.journaled.child?.poll() === true
    if (!this.#halted) this.hearDoor()
    if (!this.#halted && !this.#takingUp) this.#lookAtClock()
    return spoke
  }

  /** Takes in what the door of the box has told since; `last`: it is closed. */
  hearDoor(last?: true): void {
    const { toldOffset, toldLast } = this.journaled
    const { box } = this.#options
    if (!box || this.#hearing || toldLast || (this.#takingUp && !last)) return
    const { lines, offset } = box.told(toldOffset)
    if (lines.length === 0 && !last) return
    this.#hearing = true
    this.journaled.apply({ type: 'told', lines, offset, last })
    this.#hearing = false
  }

  /** Nothing more is begun; what comes still counts. */
  stop(): void {
    this.#stopping = true
    this.#verifier.stop()
  }

  /** Nothing of the agent is left here. May be called twice. */
  leave(): void {
    this.#options.start.leave()
  }

  /** Nothing counts any more. May be called twice. */
  end(): void {
    this.journaled.end()
    this.#verifier.stop()
    this.#options.start.close()
  }

  get #halted(): boolean {
    return this.#stopping || this.journaled.over
  }

  #lookAt(question: AgentUpdateOf<'permission'>): SessionEvent {
    const { request_id } = question
    const { permissions } = this.#options.plan
    const decision = decide(permissions, question, this.journaled.lastLaunched!.request.cwd)
    if (decision.decision === 'ask') {
      const who = this.journaled.session.granted(question)
      if (who === undefined) return this.#clock.asked(request_id)
      return {
        type: 'decided',
        request_id,
        decision: 'allow',
        by: 'rule',
        rule: `for this session, by ${who}`,
      }
    }
    return { type: 'decided', request_id, ...decision }
  }

  #lookAtClock(): void {
    const { session } = this.journaled
    const { attempt, journal } = this.#options
    const overtime = this.#clock.overtime(journal.startedAtMs)
    if (overtime !== undefined) return void this.#stopForBudget(overtime, session.retry)
    const silence = this.#clock.silence(session)
    if (silence !== undefined && session.retry) {
      // Some wait as long as the service tells them to: an hour, and say nothing.
      const message = `${session.retry.failure}: ${session.retry.message} (the agent waits to try again, and ${silence})`
      return void attempt.stop({ type: 'failed', reason: 'model', message }, STOP_GRACE_MS)
    }
    if (silence !== undefined) return void this.#stopForBudget(silence)
    for (const event of this.#clock.due(session)) this.journaled.apply(event)
  }

  /** `retry`: what the agent waited for then. */
  #stopForBudget(limit: string, retry?: AgentUpdateOf<'retry'>): void {
    const why =
      retry && `, and the agent waited to try again: ${retry.failure}: ${retry.message.replace(/\.$/, '')}`
    const message = `The budget is used up: ${limit}${why ?? ''}.`
    this.#options.attempt.stop({ type: 'failed', reason: 'budget', message }, STOP_GRACE_MS)
  }

  /** Once: what the agent's box does not keep from it. */
  #tellHeld(): void {
    const { start, journal } = this.#options
    const { held } = start
    if (held === undefined || journal.list.some((report) => isPhase(report, 'isolation'))) return
    journal.add({ type: 'phase', phase: 'isolation', message: held })
  }

  async #enter(): Promise<void> {
    await this.#options.start.enter((runId) => {
      const text = `Run ${runId} is in this session: this one goes on with it once that has ended.`
      this.journaled.apply({ type: 'note', text })
    })
  }

  async #launch(): Promise<void> {
    const { start, box, baseline, output, attempt, attachments, plan } = this.#options
    const { session, lastLaunched } = this.journaled
    this.#launching = true
    try {
      await start.prepare()
      if (!(await attachments.bring(plan.attachments ?? []))) return
      // What is left of the process before could change what is made for the next.
      if (lastLaunched) await box?.end()
      await this.#enter()
      if (output.values.wants('files')) await baseline.take(start.cwd)
      if (this.#halted) return
      const { sessionId, model } = session
      this.journaled.apply(start.launched({ sessionId, model, before: lastLaunched }))
      if (!this.journaled.over) this.journaled.begin()
    } catch (error) {
      void attempt.finish(start.refusal(error))
    } finally {
      this.#launching = false
    }
    this.goOn()
  }
}

const isPhase = (report: AttemptReport, phase: string): boolean =>
  report.type === 'phase' && report.phase === phase
