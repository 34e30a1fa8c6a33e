import { join } from 'node:path'
import type { AttemptInput, DeniedUses } from '../../contract/agent.ts'
import type { AttemptEnd } from '../../contract/attempt.ts'
import { endTree } from '../../platform/process-ending.ts'
import { FolderAttempt, type FolderAttemptOptions } from '../attempts/folder-attempt.ts'
import type { Cause, Ending } from '../attempts/outcome.ts'
import { passedOn, processEnvironment } from '../attempts/process-environment.ts'
import type { AgentPlan } from '../ports.ts'
import type { AgentServices } from './agent-services.ts'
import { AgentStart } from './agent-start.ts'
import { Baseline } from './baseline.ts'
import { News } from './news.ts'
import { refusal } from './refusal.ts'
import { SessionDriver } from './session-driver.ts'
import { endingOf, type SessionEnd } from './session-end.ts'
import { tellValues } from './session-values.ts'
import { ToldOnce } from './told-once.ts'

/** How long an agent may take to end by itself, once its input has ended. */
const FAREWELL_MS = 3_000
/** Of the grace of a stop, the most that the agent may take to end its turn. */
const END_OF_TURN_MS = 2_000

export interface AgentAttemptOptions extends FolderAttemptOptions {
  services: AgentServices
  /** Makes the workspace of a run. */
  workspace(runId: string): string
  /** The runner's environment. */
  env: NodeJS.ProcessEnv
}

/** An attempt that is a session with an agent. A later process of this runner goes on where this one ends. */
export class AgentAttempt extends FolderAttempt {
  readonly #options: AgentAttemptOptions
  readonly #told: ToldOnce
  readonly #baseline: Baseline
  readonly #hurry = new AbortController()
  readonly #news = new News()
  /** Undefined where the plan cannot be carried out. */
  #driver: SessionDriver | undefined
  #stopping = false

  /** Takes in what the folder holds; starts and watches nothing. */
  constructor(options: AgentAttemptOptions) {
    super(options)
    this.#options = options
    const { stdout } = this.output.files
    this.#told = new ToldOnce({ journal: this.journal, stdout, onUnkept: (message) => this.#unkept(message) })
    this.#baseline = new Baseline(join(this.folder.path, 'files-before'), passedOn(options.env))
  }

  /** It cannot be carried out. */
  refuse(error: unknown): void {
    void this.finish(refusal(error, this.#options.services.options.runnerId))
  }

  begin(plan: AgentPlan): void {
    this.#open(plan)?.goOn()
  }

  /** Goes on where an earlier process of this runner was. */
  async recover(plan: AgentPlan): Promise<void> {
    const driver = this.#open(plan)
    if (!driver) return
    await driver.replay()
    const { startedAtMs } = this.journal
    if (startedAtMs !== undefined) this.running(undefined, startedAtMs)
    await driver.takeUp(this.cause)
    if (this.cause !== undefined) this.stop(this.cause, this.timeoutGraceMs)
    driver.kept.launches.process?.hear()
    driver.goOn()
  }

  input(input: AttemptInput): void {
    this.#driver?.kept.input(input)
  }

  /** Now and then, by the poller. */
  poll(): boolean {
    const grown = this.output.refresh()
    if (grown) this.journal.changed()
    const spoke = this.#driver?.poll() === true
    this.lookAtLimits()
    return grown || spoke
  }

  override close(): void {
    if (this.closed) return
    this.#told.flush()
    this.closed = true
    this.#hurry.abort()
    this.#driver?.end()
    this.#driver?.kept.launches.close()
    super.close()
    this.#driver?.leave()
  }

  protected override stop(cause: Cause, graceMs: number): void {
    // A second order can only make it quicker.
    if (graceMs === 0) this.#hurry.abort()
    if (graceMs === 0 && this.finishing) void this.#driver?.kept.launches.process?.stop(0)
    if (this.finishing || this.closed || this.#stopping) return
    this.#stopping = true
    this.keepCause(cause)
    this.#driver?.stop()
    void this.#bringDown(graceMs)
  }

  /** While it says goodbye by itself, the rest is looked at. */
  protected override letEnd(ending: Ending): void {
    this.#driver?.end()
    if (this.#bidsFarewell(ending)) this.#driver?.kept.launches.process?.endInput()
  }

  protected override async sweep(ending: Ending): Promise<boolean> {
    this.#driver?.kept.session.flush()
    this.#told.flush()
    const { process } = this.#driver?.kept.launches ?? {}
    if (process && this.#bidsFarewell(ending)) {
      const ended = () => {
        process.poll()
        return process.ended
      }
      await this.#news.until(ended, FAREWELL_MS, this.#hurry.signal)
    }
    const graceMs = this.#hurry.signal.aborted || ending.type === 'lost' ? 0 : 1_000
    return await (process?.stop(graceMs) ?? endTree({ mark: this.mark, members: this.cage.members }, graceMs))
  }

  protected override async beforeMeasure(): Promise<Pick<AttemptEnd, 'denied'>> {
    if (!this.#driver) return {}
    this.#driver.leave()
    const { launches, session } = this.#driver.kept
    launches.process?.close()
    await tellValues(this.output.values, session, this.#baseline, this.masker)
    const denied = session.denials.told
    if (denied === undefined) return {}
    return { denied: this.masker ? (this.masker.maskJson(denied) as DeniedUses) : denied }
  }

  /** A failure by them names them itself. */
  protected override async lastWords(): Promise<string | undefined> {
    const { session } = this.#driver?.kept ?? {}
    if (session?.end?.type === 'failed' && session.end.reason === 'denied') return undefined
    const words = session?.denials.summary
    return words && (this.masker?.maskText(words) ?? words)
  }

  #bidsFarewell(ending: Ending): boolean {
    const alive = this.#driver?.kept.launches.process?.ended === false
    return alive && ending.type !== 'lost' && !this.#hurry.signal.aborted
  }

  #open(plan: AgentPlan): SessionDriver | undefined {
    const { services, workspace, env } = this.#options
    const { path } = this.folder
    const { mark, cage, masker, journal, output } = this
    const { key } = this.facts
    try {
      const agent = services.named(plan.agent)
      const spec = { ...this.spec, env: this.env }
      this.#driver = new SessionDriver({
        plan,
        agent,
        start: new AgentStart({ plan, agent, services, spec, key, path, workspace }),
        place: { path, mark, cage, news: this.#news },
        env: processEnvironment(passedOn(env), this.env, spec, key),
        key,
        masker,
        baseline: this.#baseline,
        journal,
        output,
        told: this.#told,
        attempt: {
          running: (pid, startedAtMs) => this.running(pid, startedAtMs),
          stop: (cause, graceMs) => this.stop(cause, graceMs),
          unkept: (message) => this.#unkept(message),
          conclude: (end) => this.#conclude(end),
          finish: (ending) => this.finish(ending),
        },
      })
      return this.#driver
    } catch (error) {
      this.refuse(error)
      return undefined
    }
  }

  #conclude(end: SessionEnd): void {
    if (end.type === 'canceled') this.keepCause({ type: 'canceled', reason: 'canceled' })
    void this.finish(endingOf(end))
  }

  async #bringDown(graceMs: number): Promise<void> {
    const driver = this.#driver
    if (driver?.kept.session.inTurn && graceMs > 0) {
      driver.kept.apply({ type: 'stop' })
      const ended = () => !driver.kept.session.inTurn
      await this.#news.until(ended, Math.min(graceMs / 2, END_OF_TURN_MS), this.#hurry.signal)
    }
    await this.finish({ type: 'stopped' })
  }

  #unkept(message = this.unwritten()): void {
    this.stop({ type: 'failed', reason: 'output_failed', message }, 0)
  }
}
