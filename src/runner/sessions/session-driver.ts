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

/** Describes the attempt behind the session. */
export interface Driven {
  running(pid: number, startedAtMs: number): void
  stop(cause: Cause, graceMs: number): void
  /** Called if something essential could not be stored; without a message, that is the journal. */
  failUnwritten(message?: string): void
  /** Called when the session has ended. */
  conclude(end: SessionEnd): void
  /** Called when the process behind it has ended, or could not start. */
  finish(ending: Ending): Promise<void>
}

type OfSession = Omit<JournaledSessionOptions, 'onRunning' | 'onStartFailed' | 'onUnwritten' | 'onNews'>
export interface SessionDriverOptions extends OfSession {
  /** Box that it runs in; absent if there is none. */
  box?: Box
  /** Environment of verify commands. */
  env: NodeJS.ProcessEnv
  masker?: Masker
  /** Key of the attempt, unique on this machine. */
  key: string
  baseline: Baseline
  /** Knows when this runner is told to stop. */
  machineStop?: RunnerStop
  attempt: Driven
}

/** Does in the world what a session waits for, and informs the session. */
export class SessionDriver {
  readonly journaled: JournaledSession
  readonly #options: SessionDriverOptions
  readonly #clock: SessionClock
  readonly #verifier: Verifier
  #launching = false
  #receiving = false
  /**
   * Set while the lines that an earlier process of this runner read are read again in the same order: nothing new may
   * come between.
   */
  #takingUp = false
  #stopping = false

  /** Sets up the session. Throws `invalid_argument`. */
  constructor(options: SessionDriverOptions) {
    const { plan, env, key, box, start, masker, machineStop, attempt } = options
    checkRules(plan.permissions)
    this.#options = options
    this.#clock = new SessionClock(plan)
    this.#verifier = new Verifier({
      env,
      attemptKey: key,
      ...{ masker, machineStop },
      enclose: box && ((launch, name) => box.enclose(launch, start.mounts(launch.cwd)!, name)),
      onResult: (result) => this.journaled.apply({ type: 'verified', ...result }),
    })
    this.journaled = new JournaledSession({
      ...options,
      onRunning: (pid, startedAtMs) => {
        attempt.running(pid, startedAtMs)
        this.#reportHeld()
      },
      onStartFailed: (ending) => void attempt.finish(ending),
      onUnwritten: (message) => attempt.failUnwritten(message),
      onNews: () => {
        this.#clock.contact()
        this.goOn()
      },
    })
  }

  /** Replays to the state of an earlier process of this runner; `resume` follows. */
  async replay(): Promise<void> {
    const { start, baseline } = this.#options
    this.#clock.recovered()
    const { request } = this.journaled.firstLaunched ?? {}
    // Before the first wait: anything that begins meanwhile finds the session occupied.
    start.keep(request?.fork ? undefined : request?.session_id)
    await baseline.recover(request?.cwd)
    await this.journaled.replay()
    // It may have run for longer than sessions are stored.
    start.sessionsKnown(this.journaled.session.sessionId, this.journaled.lastLaunched)
  }

  /** Adopts what the earlier process of this runner has begun. `cause`: it is to be ended. `goOn` follows. */
  async resume(cause: Cause | undefined): Promise<void> {
    const { start, attempt } = this.#options
    const { child } = this.journaled
    this.#takingUp = true
    await this.#verifier.endLeft()
    const found = await child?.resume({ cause, finish: (ending) => attempt.finish(ending) })
    this.#takingUp = false
    if (!found) return
    const { alive, claim } = found
    if (alive) this.journaled.apply({ type: 'found' })
    if (claim === undefined) return
    try {
      await start.prepare()
      await this.#enter()
      // If it was left meanwhile, the next process begins it.
      if (!this.journaled.over) this.journaled.begin(claim)
    } catch (error) {
      void attempt.finish(start.refusal(error))
    }
  }

  goOn(): void {
    const { session, lastLaunched } = this.journaled
    if (this.#halted) return
    // Before the agent's own words count, since the session may end by what the endpoint reports.
    this.readEndpoint()
    for (const question of session.undecided) this.journaled.apply(this.#lookAt(question))
    if (session.breach !== undefined) return void this.#stopForBudget(session.breach)
    if (session.end) return void this.#options.attempt.conclude(session.end)
    const { verifying } = session
    if (verifying) void this.#verifier.run(verifying, lastLaunched!.request.cwd)
    else this.#verifier.stop()
    if (session.needsProcess && !this.#launching) void this.#launch()
    if (session.waits && session.waitsUntil === undefined) this.journaled.apply(this.#clock.waits())
  }

  /** Polls the session; returns whether the agent has written something. */
  poll(): boolean {
    const spoke = this.journaled.child?.poll() === true
    if (!this.#halted) this.readEndpoint()
    if (!this.#halted && !this.#takingUp) this.#lookAtClock()
    return spoke
  }

  /** Reads new lines of the box's endpoint; `last`: the endpoint is closed. */
  readEndpoint(last?: true): void {
    const { logOffset, logEnded } = this.journaled
    const { box } = this.#options
    if (!box || this.#receiving || logEnded || (this.#takingUp && !last)) return
    const { lines, offset } = box.logSince(logOffset)
    if (lines.length === 0 && !last) return
    this.#receiving = true
    this.journaled.apply({ type: 'told', lines, offset, last })
    this.#receiving = false
  }

  /** Begins nothing more; incoming output still counts. */
  stop(): void {
    this.#stopping = true
    this.#verifier.stop()
  }

  /** Frees the session when nothing of the agent is left here. Idempotent. */
  leave(): void {
    this.#options.start.leave()
  }

  /** Ends the session: nothing counts any more. Idempotent. */
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
      if (who === undefined) return this.#clock.questionEvent(request_id)
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
      // Some agents wait as long as the service tells them to, such as an hour, and write nothing.
      const message = `${session.retry.failure}: ${session.retry.message} (while waiting to try again, ${silence})`
      return void attempt.stop({ type: 'failed', reason: 'model', message }, STOP_GRACE_MS)
    }
    if (silence !== undefined) return void this.#stopForBudget(silence)
    for (const event of this.#clock.due(session)) this.journaled.apply(event)
  }

  /** Ends the attempt because of its budget; `retry` is what the agent waited for then. */
  #stopForBudget(limit: string, retry?: AgentUpdateOf<'retry'>): void {
    const why =
      retry &&
      `, and the agent was waiting to try again: ${retry.failure}: ${retry.message.replace(/\.$/, '')}`
    const message = `The budget is used up: ${limit}${why ?? ''}.`
    this.#options.attempt.stop({ type: 'failed', reason: 'budget', message }, STOP_GRACE_MS)
  }

  /** Reports, once, what the agent's box does not withhold from it. */
  #reportHeld(): void {
    const { start, journal } = this.#options
    const { held } = start
    if (held === undefined || journal.list.some((report) => isPhase(report, 'isolation'))) return
    journal.add({ type: 'phase', phase: 'isolation', message: held })
  }

  async #enter(): Promise<void> {
    await this.#options.start.enter((runId) => {
      const text = `Run ${runId} is using this session. This run continues it once that run has ended.`
      this.journaled.apply({ type: 'note', text })
    })
  }

  async #launch(): Promise<void> {
    const { start, box, baseline, output, attempt, attachments, plan } = this.#options
    const { session, lastLaunched } = this.journaled
    this.#launching = true
    try {
      await start.prepare()
      if (!(await attachments.fetchAll(plan.attachments ?? []))) return
      // Leftovers of the process before could change what is made for the next.
      if (lastLaunched) await box?.end()
      await this.#enter()
      if (output.values.needs('files')) await baseline.take(start.cwd)
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
