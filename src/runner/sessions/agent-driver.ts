import { join } from 'node:path'
import type { Attachment, AttemptInput, DeniedUses } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, messageOf, messageWithHint } from '../../contract/errors.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import { endTree } from '../../platform/child-tree.ts'
import type { ArtifactKeeper } from '../artifacts/artifact-keeper.ts'
import { PromptAttachments } from '../artifacts/prompt-attachments.ts'
import type { AttemptFiles } from '../attempts/attempt-files.ts'
import { noDescriptors } from '../attempts/attempt-folder.ts'
import type { Driven, Driver, DriverKind, Swept } from '../attempts/driver.ts'
import { passedOn, processEnvironment } from '../attempts/launch.ts'
import type { RunnerStop } from '../attempts/runner-stop.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { Workspaces } from '../attempts/workspaces.ts'
import { HubAway } from '../link/hub-retry.ts'
import type { Action, AgentPlan } from '../ports.ts'
import { CarefulGit } from '../workspace-view/careful-git.ts'
import type { ViewedFolder } from '../workspace-view/session-view.ts'
import { AgentBox } from './agent-box.ts'
import { WaitUntil } from './agent-child.ts'
import type { AgentServices } from './agent-services.ts'
import { AgentStart, refusal } from './agent-start.ts'
import { Baseline, reportValues } from './changed-files.ts'
import { dropConversation } from './journaled-session.ts'
import { SessionDriver } from './session-driver.ts'
import { endingOf, type SessionEnd } from './session-outcome.ts'
import { UpdatePipeline } from './update-pipeline.ts'

/** Milliseconds that an agent may take to end by itself, once its input has ended. */
const OWN_END_MS = 3_000
/** Most milliseconds of a stop's grace that the agent may take to end its turn. */
const END_OF_TURN_MS = 2_000

export interface AgentDriversOptions {
  services: AgentServices
  workspaces: Workspaces
  /** Environment of the runner. */
  env: NodeJS.ProcessEnv
  /** Stores what sessions have changed; if absent, this machine stores nothing. */
  artifacts: ArtifactKeeper | undefined
  /** Knows when this runner is told to stop. */
  stop: RunnerStop | undefined
}

/** Makes the drivers for sessions with agents. */
export function agentDrivers(options: AgentDriversOptions): DriverKind {
  return {
    kind: 'agent',
    driver: (attempt, files, action) => new AgentDriver(attempt, files, action, options),
    // The machine's own secrets only require that nothing of them leaves it.
    dropSecrets: ({ folder, facts }) => {
      if (facts.spec.secrets) dropConversation(folder.path)
    },
  }
}

/** Drives a session with an agent. A later process of this runner continues where this one ends. */
class AgentDriver implements Driver {
  readonly #attempt: Driven
  readonly #files: AttemptFiles
  readonly #action: () => Action
  readonly #options: AgentDriversOptions
  readonly #updates: UpdatePipeline
  readonly #baseline: Baseline
  readonly #expedited = new AbortController()
  readonly #news = new WaitUntil()
  /** Session; undefined if the plan cannot run. */
  #session: SessionDriver | undefined
  #box: AgentBox | undefined
  #stopping = false
  readonly #attachments: PromptAttachments
  /** Aborts the fetching of attachments. */
  readonly #left = new AbortController()
  /** Pending inputs that wait for attachments. */
  #coming: Promise<void> | undefined
  #queries = 0

  constructor(attempt: Driven, files: AttemptFiles, action: () => Action, options: AgentDriversOptions) {
    this.#attempt = attempt
    this.#files = files
    this.#action = action
    this.#options = options
    const { journal, output, folder } = files
    const { stdout } = output.files
    this.#updates = new UpdatePipeline({
      journal,
      stdout,
      masker: attempt.masker,
      onUnwritten: (message) => attempt.failUnwritten(message),
    })
    const beside = () => options.workspaces.readable(files.facts.spec.run_id)
    this.#attachments = new PromptAttachments({
      folder: folder.path,
      runId: files.facts.spec.run_id,
      source: options.services.options.attachments,
      asking: { signal: this.#left.signal, waiting: (why) => this.#note(`A prompt is waiting: ${why}`) },
    })
    const before = join(folder.path, 'files-before')
    this.#baseline = new Baseline(before, passedOn(options.env), files.box, beside)
  }

  begin(): void {
    try {
      this.#open().goOn()
    } catch (error) {
      this.#refuse(error)
    }
  }

  async recover(): Promise<void> {
    const attempt = this.#attempt
    try {
      const session = this.#open()
      // Its current work may wait for its endpoint.
      await this.#box?.open()
      if (session.journaled.over) return
      await session.replay()
      const { startedAtMs } = attempt.journal
      if (startedAtMs !== undefined) attempt.running(undefined, startedAtMs)
      await session.resume(attempt.cause)
      attempt.stopAsOrdered()
      session.journaled.child?.listen()
      session.goOn()
    } catch (error) {
      if (noDescriptors(error)) throw error
      this.#refuse(error)
    }
  }

  async viewFolder(ask: WorkspaceQuery, send: (text: string) => Promise<void>): Promise<RunnerAnswer> {
    const viewed = this.#viewed()
    if (viewed === undefined)
      throw new ErrandError('unavailable', 'The agent has not started yet, so there is nothing to see.', {
        hint: 'Try again in a moment.',
      })
    const { answerQuery } = await import('../workspace-view/session-view.ts')
    return await answerQuery(ask, viewed, send)
  }

  /** Returns what a query about the folder needs; undefined before an agent has begun. */
  #viewed(): ViewedFolder | undefined {
    const cwd = this.#session?.journaled.lastLaunched?.request.cwd
    if (cwd === undefined) return undefined
    const { box, facts } = this.#files
    const { env, workspaces } = this.#options
    const beside = () => workspaces.readable(facts.spec.run_id)
    const git = new CarefulGit(passedOn(env), box, beside, `look.${++this.#queries}`)
    return { cwd, base: this.#baseline.head, git, masker: this.#attempt.masker }
  }

  /**
   * Passes an input on. Inputs behind a prompt whose attachments are being fetched wait for it, except answers and the
   * end of a turn.
   */
  input(input: AttemptInput): void {
    const attachments = (input.type === 'prompt' && input.attachments) || []
    const direct = input.type === 'permission' || input.type === 'cancel_turn'
    if (direct || (attachments.length === 0 && this.#coming === undefined))
      return void this.#session?.journaled.input(input)
    const came = (this.#coming ?? Promise.resolve()).then(() => this.#fetchAttachments(input, attachments))
    this.#coming = came
    void came.then(() => {
      if (this.#coming === came) this.#coming = undefined
    })
  }

  async #fetchAttachments(input: AttemptInput, attachments: readonly Attachment[]): Promise<void> {
    const { journaled } = this.#session ?? {}
    try {
      if (await this.#attachments.fetchAll(attachments)) journaled?.input(input)
    } catch (error) {
      if (error instanceof HubAway) return void this.#attempt.finish({ type: 'lost', why: error.message })
      this.#note(`A prompt is waiting because its attachment could not be fetched: ${messageWithHint(error)}`)
    }
  }

  #note(text: string): void {
    this.#session?.journaled.apply({ type: 'note', text })
  }

  poll(): boolean {
    return this.#session?.poll() === true
  }

  stop(graceMs: number): void {
    if (graceMs === 0) this.#expedited.abort()
    if (this.#stopping) return
    this.#stopping = true
    this.#left.abort()
    this.#session?.stop()
    void this.#shutDown(graceMs)
  }

  /** Lets the agent end by itself while the rest is checked. */
  beforeSweep(ending: Ending): void {
    this.#session?.end()
    if (this.#mayEndItself(ending)) this.#session?.journaled.child?.endInput()
  }

  async sweep(ending: Ending): Promise<Swept> {
    this.#updates.end()
    const { child } = this.#session?.journaled ?? {}
    if (child && this.#mayEndItself(ending)) {
      const ended = () => {
        child.poll()
        return child.ended
      }
      await this.#news.until(ended, OWN_END_MS, this.#expedited.signal)
    }
    const graceMs = this.#expedited.signal.aborted || ending.type === 'lost' ? 0 : 1_000
    const { mark, cage } = this.#files
    const gone = await (child?.stop(graceMs) ?? endTree({ mark, members: cage.members }, graceMs))
    return { survives: !(await this.#endBox()) || !gone, denied: await this.#reportLast() }
  }

  expedite(): void {
    this.#expedited.abort()
    void this.#session?.journaled.child?.stop(0)
  }

  /** Returns a summary of its denials; undefined if its failure names them already. */
  async finalMessage(): Promise<string | undefined> {
    const { session } = this.#session?.journaled ?? {}
    if (session?.end?.type === 'failed' && session.end.reason === 'denied') return undefined
    const words = session?.denials.summary
    return words && (this.#attempt.masker?.maskText(words) ?? words)
  }

  async kill(): Promise<void> {
    await endTree({ mark: this.#files.mark }, 0)
    await this.#endBox()
  }

  /** Ends the box after all reports of its endpoint; returns false if something survives. */
  async #endBox(): Promise<boolean> {
    const { box } = this.#files
    if (!box) return true
    const gone = await box.end()
    await box.close()
    return gone
  }

  leave(): void {
    this.#left.abort()
    this.#updates.flush()
    this.#expedited.abort()
    this.#session?.end()
    this.#session?.journaled.close()
    this.#session?.leave()
  }

  /** Reports what is known of the session besides its output, when nothing of it runs any more. */
  async #reportLast(): Promise<DeniedUses | undefined> {
    if (!this.#session) return undefined
    this.#session.readEndpoint(true)
    this.#updates.end()
    this.#session.leave()
    const { masker } = this.#attempt
    const { session } = this.#session.journaled
    this.#session.journaled.close()
    await reportValues(this.#files.output.values, session, this.#baseline, masker)
    await this.#keepChange()
    const denied = session.denials.deniedUses
    return denied && masker ? (masker.maskJson(denied) as DeniedUses) : denied
  }

  /**
   * Stores the change, once nothing of the agent runs. A failure to store it is reported, but does not fail the
   * session.
   */
  async #keepChange(): Promise<void> {
    const { artifacts } = this.#options
    const { facts, folder, journal } = this.#files
    const { spec } = facts
    const viewed = this.#viewed()
    const isRequested = (spec.args as Partial<AgentPlan>).keep_change === true
    if (!isRequested || artifacts === undefined || viewed?.base === undefined) return
    if (journal.list.some((report) => report.type === 'artifact' && report.artifact.kind === 'diff')) return
    const keeping = { spec, journal, scratch: join(folder.path, 'change'), signal: this.#expedited.signal }
    try {
      const { keepChange } = await import('../workspace-view/keep-change.ts')
      await keepChange(viewed, (keepable) => artifacts.keep(keeping, keepable))
    } catch (error) {
      const text = `The change of the session was not stored: ${messageOf(error)}`
      const message = this.#attempt.masker?.maskText(text) ?? text
      journal.add({ type: 'phase', phase: 'artifacts', message })
    }
    await this.#files.box?.end()
  }

  #mayEndItself(ending: Ending): boolean {
    const alive = this.#session?.journaled.child?.ended === false
    return alive && ending.type !== 'lost' && !this.#expedited.signal.aborted
  }

  /** Opens the session. Throws if the plan cannot run. */
  #open(): SessionDriver {
    const attempt = this.#attempt
    const { folder, facts, secrets, cage, box, mark, journal, output, env } = this.#files
    const { services, workspaces, env: ownEnv } = this.#options
    const { path } = folder
    const { key } = facts
    const plan = planOf(this.#action(), secrets?.filledSpec ?? facts.spec)
    const agent = services.named(plan.agent)
    const spec = { ...facts.spec, env }
    const workspace = (runId: string) => workspaces.create(runId)
    const agentBox =
      box &&
      new AgentBox({
        box,
        network: facts.box!.network,
        plan,
        agent,
        services,
        spec,
        key,
        readable: [
          ...(secrets?.files ?? []),
          ...workspaces.readable(plan.session?.workspace_of ?? spec.run_id),
        ],
      })
    this.#box = agentBox
    this.#session = new SessionDriver({
      plan,
      agent,
      start: new AgentStart({ plan, agent, services, spec, key, path, box: agentBox, workspace }),
      place: { path, mark, cage, box, news: this.#news },
      attachments: this.#attachments,
      box,
      endpoint: agentBox && { agent, counts: agentBox.counted },
      env: processEnvironment(passedOn(ownEnv), agentBox?.withoutKeys(env) ?? env, spec, key),
      key,
      masker: attempt.masker,
      baseline: this.#baseline,
      machineStop: this.#options.stop,
      journal,
      output,
      updates: this.#updates,
      attempt: {
        running: (pid, startedAtMs) => attempt.running(pid, startedAtMs),
        stop: (cause, graceMs) => attempt.stop(cause, graceMs),
        failUnwritten: (message) => attempt.failUnwritten(message),
        conclude: (end) => this.#conclude(end),
        finish: (ending) => attempt.finish(ending),
      },
    })
    return this.#session
  }

  #conclude(end: SessionEnd): void {
    if (end.type === 'canceled') this.#attempt.journal.keepCause({ type: 'canceled', reason: 'canceled' })
    const isSignaled = end.type === 'failed' && end.signal !== undefined
    const endedAtMs = isSignaled ? this.#session?.journaled.exitedAtMs : undefined
    void this.#attempt.finish(endingOf(end), { endedAtMs })
  }

  async #shutDown(graceMs: number): Promise<void> {
    const session = this.#session
    if (session?.journaled.session.inTurn && graceMs > 0) {
      session.journaled.apply({ type: 'stop' })
      const ended = () => !session.journaled.session.inTurn
      await this.#news.until(ended, Math.min(graceMs / 2, END_OF_TURN_MS), this.#expedited.signal)
    }
    await this.#attempt.finish({ type: 'stopped' })
  }

  /** Ends the attempt, which cannot run. */
  #refuse(error: unknown): void {
    void this.#attempt.finish(refusal(error, this.#options.services.options.runnerId))
  }
}

/** Returns the plan of an action. Throws if it cannot run, or is not an agent any more. */
function planOf(action: Action, spec: AttemptSpec): AgentPlan {
  if (action.kind !== 'agent') throw new Error(`"${spec.action}" is no longer an agent.`)
  return action.prepare(spec)
}
