import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Agent, Program, SessionRequest } from '../../agents/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { type ErrandError, messageWithHint } from '../../contract/errors.ts'
import { processEnvironment } from '../attempts/launch.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { AgentPlan } from '../ports.ts'
import type { BoxMounts } from '../sandbox/box.ts'
import type { Launch } from '../sandbox/launch.ts'
import type { AgentBox } from './agent-box.ts'
import type { AgentServices } from './agent-services.ts'
import { writeBelow } from './boxed/session-files.ts'
import { checkBudget } from './budget-meter.ts'
import { askMode, coversReading } from './permission-policy.ts'
import type { Launched } from './session-state.ts'

export interface AgentStartOptions {
  plan: AgentPlan
  agent: Agent
  services: AgentServices
  spec: AttemptSpec
  /** Key of the attempt, unique on this machine. */
  key: string
  /** Folder of the attempt. */
  path: string
  /** Box that the session runs in; absent if there is none. */
  box?: AgentBox
  workspace(runId: string): string
}

/** Describes the state before a process begins. */
export interface Before {
  /** Id of the session that it resumes. */
  sessionId: string | undefined
  /** Model that was chosen since. */
  model: string | undefined
  before: Launched | undefined
}

/** Prepares a session before its first line: checks the request, and turns it into what the agent starts with. */
export class AgentStart {
  readonly #options: AgentStartOptions
  readonly #stop = new AbortController()
  #prepared: Promise<void> | undefined
  #program: Program | undefined
  #cwd = ''

  constructor(options: AgentStartOptions) {
    this.#options = options
  }

  /** Working folder; set after `prepare`. */
  get cwd(): string {
    return this.#cwd
  }

  /** Text that names the keys that its agent could read in the session's box; undefined if there are none. */
  get held(): string | undefined {
    return this.#options.box?.held
  }

  /**
   * Returns the places in the session's box for verify commands that work in that folder; undefined if there is no box.
   */
  mounts(cwd: string): BoxMounts | undefined {
    return this.#options.box?.mounts(cwd, this.#workspace)
  }

  /** Checks the request once. Throws `invalid_argument`, `NotAllowed`. */
  prepare(): Promise<void> {
    this.#prepared ??= this.#prepare()
    return this.#prepared
  }

  /** Waits until no other attempt is in the session that it resumes. `onWait` gets the run that is in it. */
  async enter(onWait: (runId: string) => void): Promise<void> {
    const { plan, agent, services, spec } = this.#options
    if (plan.session === undefined) return
    if (plan.session.fork) return
    await services.sessionMutex.acquire(
      keyOf(agent, plan.session.session_id),
      spec,
      this.#stop.signal,
      onWait,
    )
  }

  /**
   * Records that the attempt is in that session: an earlier process of this runner began it, or the agent has reported
   * its id.
   */
  keep(sessionId: string | undefined): void {
    const { agent, services, spec } = this.#options
    if (sessionId !== undefined) services.sessionMutex.keep(keyOf(agent, sessionId), spec)
  }

  /** Frees the session when nothing of the agent is left. Idempotent. */
  leave(): void {
    this.#options.services.sessionMutex.release(this.#options.spec)
  }

  /** Returns the end of an attempt for which one of these methods has thrown. */
  refusal(error: unknown): Ending {
    return refusal(error, this.#options.services.options.runnerId)
  }

  close(): void {
    this.#stop.abort()
  }

  /** Returns the event that begins a process. */
  launched({ sessionId, model, before }: Before): Launched {
    const { plan, agent, services, spec, box } = this.#options
    const session_id = sessionId ?? plan.session?.session_id
    const home = before?.request.home ?? services.homes.take(agent.name, session_id, spec.attempt_id)
    box?.fill(home)
    // Once it has its own id, the branch exists already.
    const fork = sessionId === undefined ? plan.session?.fork : undefined
    const requestedBox = this.#requestedBox()
    const request = {
      ...requestedBox,
      model: model ?? requestedBox.model,
      session_id,
      fork,
      max_turns: plan.budget.turns,
      home,
    }
    const launched: Launched = { type: 'launched', program: this.#program, request }
    agent.launch(this.request(launched), this.#program!)
    return launched
  }

  request({ request }: Launched): SessionRequest {
    return { ...request, env: this.#env(request.home) }
  }

  /** Returns the launch of the process with that name, after writing its files. Throws `invalid_argument`. */
  launch(launched: Launched, name: string): Launch {
    const { agent, spec, key, box } = this.#options
    const request = this.request(launched)
    const { program, args, env, files, parts } = agent.launch(request, launched.program!)
    for (const { path, content } of files ?? []) writeBelow(request.home, path, content)
    // A box has its own folder for that.
    const temp: Record<string, string> = box ? {} : { TMPDIR: spec.env.TMPDIR ?? this.#temp() }
    // Output of the agent and its tools is stored as text.
    const own = { ...temp, NO_COLOR: spec.env.NO_COLOR ?? '1', ...env }
    const launch = {
      argv: [program ?? launched.program!.path, ...args],
      cwd: request.cwd,
      env: processEnvironment(request.env, own, spec, key),
    }
    return box?.enclose(launch, launched, { parts, workspace: this.#workspace, name }) ?? launch
  }

  get #workspace(): string {
    const { plan, spec, workspace } = this.#options
    return workspace(plan.session?.workspace_of ?? spec.run_id)
  }

  #env(home: string): Readonly<Record<string, string>> {
    const { agent, services, spec, box } = this.#options
    return box?.env(home) ?? services.environment(agent, spec)
  }

  /** Records the session id that the agent has reported, so that the session can be resumed by it. */
  readonly sessionsKnown = (sessionId: string | undefined, launched: Launched | undefined): void => {
    const { services, agent } = this.#options
    if (sessionId === undefined || !launched) return
    this.keep(sessionId)
    try {
      services.homes.keep(agent.name, sessionId, launched.request.home)
    } catch {
      // The session continues without it; only a later run cannot resume it.
    }
  }

  #requestedBox(): Omit<Launched['request'], 'home'> {
    const { model, extra_args, command, permissions } = this.#options.plan
    return {
      cwd: this.#cwd,
      model,
      extra_args,
      command,
      ask: askMode(permissions),
      asks_reading: coversReading(permissions) || undefined,
      apart: this.#options.box ? true : undefined,
      new_session_id: randomUUID(),
    }
  }

  /**
   * Returns a temporary folder that is deleted with the attempt: some agents unpack megabytes into it at every start,
   * and leave them.
   */
  #temp(): string {
    const path = join(this.#options.path, 'temp')
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return path
  }

  async #prepare(): Promise<void> {
    const { plan, agent, services, spec, key, box } = this.#options
    if (!box?.counted) checkBudget(agent, plan.budget)
    const cwd = services.workingFolder(plan.cwd, this.#workspace)
    this.#cwd = box?.cwd(cwd, this.#workspace) ?? cwd
    const program = await services.program(agent)
    this.#program = program
    await box?.open()
    const { checkQuestions } = services.options
    const ask = askMode(plan.permissions)
    // A program that ignores the mode it is started in would use all tools, even where it must use none.
    if (!checkQuestions || ask === 'allow' || (ask === 'deny' && agent.modelAt)) return
    const request = { ...this.#requestedBox(), home: '', env: this.#env('') }
    const env = processEnvironment(request.env, {}, spec, key)
    const enclose = box && ((launch: Launch, folder: string) => box.encloseTrial(launch, folder))
    const finding = await checkQuestions(agent, program, { request, env, enclose }, this.#stop.signal)
    if (finding.type === 'refused') throw new NotAllowed(finding.why)
  }
}

/** Returns the key of a session; its id is unique only within an agent. */
const keyOf = ({ name }: Agent, sessionId: string): string => `${name} ${sessionId}`

/** Thrown if the program cannot be held to the permissions of the step. */
class NotAllowed extends Error {}

/** Builds the end of an attempt that cannot run; it names the runner if there is one. */
export function refusal(error: unknown, runnerId: string | undefined): Ending {
  const { code } = error as ErrandError
  const reason =
    error instanceof NotAllowed
      ? 'permission'
      : code === 'invalid_argument'
        ? code
        : ('start_failed' as const)
  const where = runnerId === undefined ? '' : `On runner "${runnerId}": `
  return { type: 'action_failed', reason, message: where + messageWithHint(error) }
}
