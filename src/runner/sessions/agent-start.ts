import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Agent, Program, SessionRequest } from '../../agents/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { type ErrandError, messageWithHint } from '../../contract/errors.ts'
import { processEnvironment } from '../attempts/launch.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { AgentPlan } from '../ports.ts'
import type { BoxPlaces } from '../sandbox/box.ts'
import type { Launch } from '../sandbox/launch.ts'
import type { AgentBox } from './agent-box.ts'
import type { AgentServices } from './agent-services.ts'
import { writeBelow } from './boxed/session-files.ts'
import { checkBudget } from './budget-meter.ts'
import { askMode, asksReading } from './permission-policy.ts'
import type { Launched } from './session-state.ts'

export interface AgentStartOptions {
  plan: AgentPlan
  agent: Agent
  services: AgentServices
  spec: AttemptSpec
  /** Of the attempt, among all of this machine. */
  key: string
  /** Folder of the attempt. */
  path: string
  /** The box that the session stands in; absent: none. */
  box?: AgentBox
  workspace(runId: string): string
}

/** The state before a process is begun. */
export interface Before {
  /** Of the session that it takes up. */
  sessionId: string | undefined
  /** The model that was chosen since. */
  model: string | undefined
  before: Launched | undefined
}

/** All that comes before the first line: what is asked for is checked, and made into what the agent is started with. */
export class AgentStart {
  readonly #options: AgentStartOptions
  readonly #stop = new AbortController()
  #prepared: Promise<void> | undefined
  #program: Program | undefined
  #cwd = ''

  constructor(options: AgentStartOptions) {
    this.#options = options
  }

  /** After `prepare`. */
  get cwd(): string {
    return this.#cwd
  }

  /** Keys that its agent could read in the session's box, in words; undefined: none. */
  get held(): string | undefined {
    return this.#options.box?.held
  }

  /** The places that verify commands, which work in that folder, have in the session's box; undefined: there is none. */
  places(cwd: string): BoxPlaces | undefined {
    return this.#options.box?.places(cwd, this.#workspace)
  }

  /** Throws `invalid_argument`, `NotAllowed`. Checks once. */
  prepare(): Promise<void> {
    this.#prepared ??= this.#prepare()
    return this.#prepared
  }

  /** Waits until no other attempt is in the session that it goes on with. `onWait`: that run is. */
  async enter(onWait: (runId: string) => void): Promise<void> {
    const { plan, agent, services, spec } = this.#options
    if (plan.session === undefined) return
    if (plan.session.fork) return
    await services.holds.take(keyOf(agent, plan.session.session_id), spec, this.#stop.signal, onWait)
  }

  /** The attempt is in that session: an earlier process of this runner began it, or the agent has told so. */
  keep(sessionId: string | undefined): void {
    const { agent, services, spec } = this.#options
    if (sessionId !== undefined) services.holds.keep(keyOf(agent, sessionId), spec)
  }

  /** Nothing of the agent is left. May be called twice. */
  leave(): void {
    this.#options.services.holds.leave(this.#options.spec)
  }

  /** The end of an attempt for which one of these has thrown. */
  refusal(error: unknown): Ending {
    return refusal(error, this.#options.services.options.runnerId)
  }

  close(): void {
    this.#stop.abort()
  }

  /** The event that begins a process. */
  launched({ sessionId, model, before }: Before): Launched {
    const { plan, agent, services, spec, box } = this.#options
    const session_id = sessionId ?? plan.session?.session_id
    const home = before?.request.home ?? services.homes.take(agent.name, session_id, spec.attempt_id)
    box?.fill(home)
    // Once it has an id of its own it is no branch to be made any more.
    const fork = sessionId === undefined ? plan.session?.fork : undefined
    const asked = this.#asked()
    const request = {
      ...asked,
      model: model ?? asked.model,
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

  /** How the process is started that is told apart by that name; its files are written. Throws `invalid_argument`. */
  launch(launched: Launched, name: string): Launch {
    const { agent, spec, key, box } = this.#options
    const request = this.request(launched)
    const { program, args, env, files, parts } = agent.launch(request, launched.program!)
    for (const { path, content } of files ?? []) writeBelow(request.home, path, content)
    // A box has a folder for that of its own.
    const temp: Record<string, string> = box ? {} : { TMPDIR: spec.env.TMPDIR ?? this.#temp() }
    // What it and its tools write is kept as text.
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

  /** The agent has told its id of the session: it can be taken up again by that. */
  readonly sessionsKnown = (sessionId: string | undefined, launched: Launched | undefined): void => {
    const { services, agent } = this.#options
    if (sessionId === undefined || !launched) return
    this.keep(sessionId)
    try {
      services.homes.keep(agent.name, sessionId, launched.request.home)
    } catch {
      // It goes on without; only a later run cannot take it up.
    }
  }

  #asked(): Omit<Launched['request'], 'home'> {
    const { model, extra_args, command, permissions } = this.#options.plan
    return {
      cwd: this.#cwd,
      model,
      extra_args,
      command,
      ask: askMode(permissions),
      asks_reading: asksReading(permissions) || undefined,
      apart: this.#options.box ? true : undefined,
      new_session_id: randomUUID(),
    }
  }

  /** Some agents unpack megabytes into the temporary folder at every start, and leave them: it goes with the attempt. */
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
    const { asks } = services.options
    const ask = askMode(plan.permissions)
    // One that is started in the same way whatever it may do would use all tools, also where it is to use none.
    if (!asks || ask === 'allow' || (ask === 'deny' && agent.modelAt)) return
    const request = { ...this.#asked(), home: '', env: this.#env('') }
    const env = processEnvironment(request.env, {}, spec, key)
    const enclose = box && ((launch: Launch, folder: string) => box.encloseTrial(launch, folder))
    const finding = await asks(agent, program, { request, env, enclose }, this.#stop.signal)
    if (finding.type === 'refused') throw new NotAllowed(finding.why)
  }
}

/** An id is unique among the sessions of an agent. */
const keyOf = ({ name }: Agent, sessionId: string): string => `${name} ${sessionId}`

/** The program cannot be held to the permissions of the step. */
class NotAllowed extends Error {}

/** The end of an attempt that cannot be carried out; the runner is named where it is one of a fleet. */
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
