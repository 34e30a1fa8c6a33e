import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Agent, Located, Program, SignInFile } from '../../agents/agent.ts'
import type { AskCheckRequest, AskFinding } from '../../agents/ask-check/ask-check.ts'
import { installCommand } from '../../agents/install/native-binary.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import type { AttachmentSource } from '../artifacts/prompt-attachments.ts'
import { passedOn } from '../attempts/launch.ts'
import { type AccessOptions, type ModelAccess, modelAccess } from '../proxy/model-access.ts'
import { checkWorkingFolder } from '../sandbox/launch.ts'
import { SessionHomes } from './session-homes.ts'
import { SessionMutex } from './session-mutex.ts'

export interface AgentsOptions {
  /** Id of the runner, for messages; absent if it belongs only to the person who reads them. */
  runnerId?: string
  known: readonly Agent[]
  /** Source of the attachments of prompts; if absent, no prompt has any. */
  attachments?: AttachmentSource
  /** Folder of installed agents: `<folder>/<agent name>/node_modules/…`. */
  folder: string
  /** Folder of the sessions' own folders. */
  sessionsDir: string
  /** Folders that agents may work in, besides the run's workspace; `any`: every folder. */
  allowedDirs: readonly string[] | 'any'
  /** `copy`: an agent in a box without a key gets a copy of the user's sign-in. */
  signIn?: 'copy' | 'none'
  /** Models that agents in a box may use, in the syntax of `isAllowedModel`; absent: all. */
  models?: readonly string[]
  /**
   * Checks that a program asks before it uses a tool; returns why it must not be used otherwise. If absent, it is
   * assumed to ask.
   */
  checkQuestions?(
    agent: Agent,
    program: Program,
    request: AskCheckRequest,
    signal: AbortSignal,
  ): Promise<AskFinding>
}

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy']
/** Variables that name files which say what servers to trust. */
const TRUST = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR']
/** Settings of the machine that all agents get, besides their own. */
const SETTINGS = [...PROXIES, ...TRUST]
/** Variables of the machine that are meaningless in a box. */
const OUTSIDE = [...PROXIES, 'HOME', 'USER', 'TMPDIR']
/** Milliseconds during which a located program is not searched for again. */
const LOCATED_FOR_MS = 30_000

/** Manages the agents of this machine: which ones there are, where they are, and what they get. */
export class AgentServices {
  readonly options: AgentsOptions
  readonly homes: SessionHomes
  readonly sessionMutex = new SessionMutex()
  readonly #env: NodeJS.ProcessEnv
  readonly #settings: readonly string[]
  readonly #folders: readonly string[]
  readonly #located = new Map<string, { atMs: number; found: Promise<Located> }>()

  constructor(options: AgentsOptions, env: NodeJS.ProcessEnv) {
    this.options = options
    this.homes = new SessionHomes(options.sessionsDir)
    this.#env = env
    this.#settings = [...SETTINGS, ...options.known.flatMap(({ settings = [] }) => settings)]
    this.#folders = options.known.flatMap(({ folders = [] }) => folders)
  }

  /** Returns the agent with this name. Throws `invalid_argument` with the known names. */
  named(name: string): Agent {
    const { known } = this.options
    const agent = known.find((each) => each.name === name)
    if (agent) return agent
    throw new ErrandError('invalid_argument', `Unknown agent "${name}".`, {
      hint: `Available agents: ${known.map((each) => each.name).join(', ')}.`,
    })
  }

  /**
   * Locates the agent's program. Throws `invalid_argument` if it is not installed, with the command that installs it.
   */
  async program(agent: Agent): Promise<Program> {
    const before = this.#located.get(agent.name)
    const fresh = before && Date.now() - before.atMs < LOCATED_FOR_MS
    const found = fresh ? before.found : agent.locate({ folder: this.options.folder, env: this.#env })
    if (!fresh) this.#located.set(agent.name, { atMs: Date.now(), found })
    const located = await found
    if (located.type === 'found') return located.program
    this.#located.delete(agent.name)
    const what = located.type === 'missing' ? 'is not installed here' : 'cannot be used'
    const hint = agent.install && `Install it with ${installCommand(agent.name)}.`
    throw new ErrandError('invalid_argument', `${agent.title} ${what}: ${located.why}.`, { hint })
  }

  /**
   * Builds the environment of the agent's process: the keys and settings of this machine, overridden by what the step
   * sets. `apart` means in a box, where this machine's folders are missing; if there is no key, the key of the user's
   * sign-in replaces it.
   */
  environment(agent: Agent, spec: Pick<AttemptSpec, 'env'>, { apart = false } = {}): Record<string, string> {
    const { keys, configuration = [] } = agent
    const inherited = passedOn(this.#env, [...keys, ...configuration, ...this.#settings])
    if (apart) for (const name of [...OUTSIDE, ...this.#folders]) delete inherited[name]
    const env = { ...inherited, ...spec.env }
    return apart && !this.#hasKey(agent, env) ? { ...this.#keyOfSignIn(agent), ...env } : env
  }

  #hasKey(agent: Agent, env: Readonly<Record<string, string>>): boolean {
    const { services, keys } = agent.direct?.(env) ?? { services: [], keys: [] }
    const isDirect = services.length > 0 || keys.length > 0
    return isDirect || agent.keys.some((name) => (env[name] ?? '') !== '')
  }

  /**
   * Returns the key of the sign-in, but not if a copy of the sign-in goes into the box: that is then all that the agent
   * gets.
   */
  #keyOfSignIn(agent: Agent): Record<string, string> | undefined {
    return this.signIn(agent).length > 0 ? undefined : agent.keyOfSignIn?.(this.#env)
  }

  /**
   * Replaces the keys in an environment of a box with placeholders, and returns the rules for the endpoint of that box.
   */
  access(
    agent: Agent,
    env: Readonly<Record<string, string>>,
    more: Omit<AccessOptions, 'machine' | 'models'>,
  ): ModelAccess {
    // Without a runner id the steps belong to the person at this machine, so what they name is the owner's word.
    const step = this.options.runnerId === undefined ? undefined : more.step
    const { models } = this.options
    return modelAccess(agent, env, { ...more, step, machine: this.#env, models })
  }

  /** Returns the existing files of the user's sign-in, if a box may have a copy of them. */
  signIn(agent: Agent): readonly SignInFile[] {
    if (this.options.signIn !== 'copy') return []
    return (agent.signIn?.(this.#env) ?? []).filter(({ from }) => existsSync(from))
  }

  /** Variables of this machine that name files which say what servers to trust. */
  get trust(): [name: string, value: string][] {
    return TRUST.flatMap((name) => (this.#env[name] ? [[name, this.#env[name]] as [string, string]] : []))
  }

  /** Returns the working folder. Throws `invalid_argument` if it does not exist, or agents may not work in it. */
  workingFolder(cwd: string | undefined, workspace: string): string {
    const folder = cwd === undefined ? workspace : resolve(workspace, cwd)
    checkWorkingFolder(folder)
    const { allowedDirs } = this.options
    if (cwd === undefined || allowedDirs === 'any') return folder
    const real = realPath(folder, '/')
    const allowed = [workspace, ...allowedDirs].map((each) => realPath(each, '/'))
    if (allowed.some((each) => isBelow(real, each))) return folder
    throw new ErrandError('invalid_argument', `Agents may not work in ${folder} on this runner.`, {
      hint: `Start the runner or errand up with --allow-dir ${folder}, or omit cwd. Allowed: ${allowed.join(', ')}.`,
    })
  }
}
