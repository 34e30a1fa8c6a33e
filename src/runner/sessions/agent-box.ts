import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import type { Agent, AgentLaunch, SignInFile } from '../../agents/agent.ts'
import { programParts } from '../../agents/install/native-binary.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Network } from '../../contract/isolation.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import type { AgentPlan } from '../ports.ts'
import type { ModelAccess } from '../proxy/model-access.ts'
import { isAllowedModel } from '../proxy/rules.ts'
import type { Box, BoxMounts } from '../sandbox/box.ts'
import type { Launch } from '../sandbox/launch.ts'
import type { AgentServices } from './agent-services.ts'
import { makeBelow, writeBelow } from './boxed/session-files.ts'
import type { Launched } from './session-state.ts'

export interface AgentBoxOptions {
  box: Box
  network: Network
  /** Files of the step's secrets, and other paths outside the workspace that its programs may read. */
  readable: readonly string[]
  agent: Agent
  plan: AgentPlan
  services: AgentServices
  spec: AttemptSpec
  /** Key of the attempt, unique on this machine. */
  key: string
}

/** Sets up the box of an agent session: what the agent has in it, and what replaces its keys. */
export class AgentBox {
  readonly box: Box
  readonly #options: AgentBoxOptions
  readonly #access: ModelAccess

  constructor(options: AgentBoxOptions) {
    const { box, services, agent, spec } = options
    this.box = box
    this.#options = options
    this.#access = this.#accessFor(services.environment(agent, spec, { apart: true }))
  }

  /** Returns the environment of the agent's process. */
  env(home: string): Readonly<Record<string, string>> {
    const { spec } = this.#options
    return { ...this.#access.env, HOME: spec.env.HOME ?? join(home, HOME) }
  }

  /** Returns an environment of the step in which placeholders replace the agent's keys. */
  withoutKeys(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    return this.#accessFor(env).env
  }

  /** Tells whether all requests to its models pass the proxy, which counts them. */
  get counted(): boolean {
    return this.#access.rules.length > 0 && this.held === undefined
  }

  /** Text that names the keys and sign-ins that the agent could read itself; undefined if there are none. */
  get held(): string | undefined {
    const { agent } = this.#options
    const signIn = this.#signInFiles.length > 0 ? [`The sign-in of ${agent.title}`] : []
    const names = [...signIn, ...this.#access.inside]
    if (names.length === 0) return undefined
    const [are, it] = names.length === 1 ? ['is', 'it'] : ['are', 'them']
    return `${names.join(', ')} ${are} in the sandbox, where the agent can read ${it}: no proxy protects ${it}.`
  }

  /** Opens the box, once for each process of the runner, or more often. Throws `invalid_argument`, `unavailable`. */
  async open(): Promise<void> {
    const { box, network, agent, plan } = this.#options
    if (network === 'none' && agent.keys.length > 0)
      throw new ErrandError(
        'invalid_argument',
        `${agent.title} could not reach a model: the step has network: none.`,
        { hint: 'Set network: models, with which it reaches only the service of its model.' },
      )
    this.#checkModel()
    const { tokens, cost_usd } = plan.budget
    await box.prepare({ models: this.#access.rules, budget: { tokens, cost_usd } })
  }

  /** Copies the permitted part of a sign-in into the home of a session that no agent is in. */
  fill(home: string): void {
    for (const { from, to } of this.#signInFiles) {
      const copy = join(home, to)
      const copied = lstatSync(copy, { throwIfNoEntry: false })
      // The agent in the box may have renewed it since.
      if (copied?.isFile() && copied.mtimeMs >= statSync(from).mtimeMs) continue
      writeBelow(home, copy, readFileSync(from))
    }
  }

  /** Encloses the launch of one of the session's processes in the box, under a name that identifies it. */
  enclose(
    launch: Launch,
    { request: { home, cwd }, program }: Launched,
    { parts = [], workspace, name }: Pick<AgentLaunch, 'parts'> & { workspace: string; name: string },
  ): Launch {
    if (launch.env.HOME === join(home, HOME)) makeBelow(home, HOME)
    const own = program?.path ? programParts(program.path) : []
    const { writable, readable } = this.mounts(cwd, workspace)
    const mounts = { writable: [...writable, home], readable: [...new Set([...readable, ...own, ...parts])] }
    return this.box.enclose(launch, mounts, name)
  }

  /** Returns the working folder by a path that nothing in the workspace can redirect. */
  cwd(cwd: string, workspace: string): string {
    const real = realPath(cwd, '/')
    return isBelow(cwd, workspace) && isBelow(real, realPath(workspace, '/')) ? cwd : real
  }

  /** Returns the places that all programs of the session see: the whole workspace if the folder is in it. */
  mounts(cwd: string, workspace: string): BoxMounts {
    const work = isBelow(cwd, workspace) ? workspace : cwd
    return { writable: [work], readable: [...this.#trustFiles, ...this.#options.readable] }
  }

  /** Encloses the launch of a trial of the agent's program, in its own folder. */
  encloseTrial(launch: Launch, folder: string): Launch {
    const env = { ...launch.env, HOME: folder }
    return this.box.enclose({ ...launch, env }, { writable: [folder], readable: this.#trustFiles }, 'trial')
  }

  /** Checks the model that the step names; throws if it must not be used. Some agents prefix it with its service. */
  #checkModel(): void {
    const { model } = this.#options.plan
    const models = this.#access.rules[0]?.models
    if (model === undefined || models === undefined) return
    if ([model, model.slice(model.lastIndexOf('/') + 1)].some((name) => isAllowedModel(models, name))) return
    throw new ErrandError('invalid_argument', `The model "${model}" is not allowed on this machine.`, {
      hint: `Allowed: ${models.join(', ')} (ERRAND_MODELS of the runner).`,
    })
  }

  #accessFor(env: Readonly<Record<string, string>>): ModelAccess {
    const { services, agent, plan, spec, key } = this.#options
    return services.access(agent, env, { key, proxyEnv: plan.proxy_env, step: spec.env })
  }

  /** Files of the user's sign-in that the session gets a copy of: only if it may, and has no key. */
  get #signInFiles(): readonly SignInFile[] {
    const { services, agent } = this.#options
    const { rules, inside } = this.#access
    if (rules.length > 0 || inside.length > 0) return []
    return services.signIn(agent)
  }

  /** Files that tell the machine which servers to trust, if its environment names any. */
  get #trustFiles(): string[] {
    const { services, spec } = this.#options
    const paths = services.trust
      .filter(([name]) => spec.env[name] === undefined)
      .flatMap(([, value]) => value.split(delimiter))
      .filter((path) => isAbsolute(path) && existsSync(path))
    return [...new Set(paths)]
  }
}

/** Subfolder of a session's home. */
const HOME = 'user'
