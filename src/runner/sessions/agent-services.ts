import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Agent, Located, Program, SignInFile } from '../../agents/agent.ts'
import type { AskedFor, AskFinding } from '../../agents/ask-check/ask-check.ts'
import { installCommand } from '../../agents/install/native-binary.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import type { AttachmentSource } from '../artifacts/prompt-attachments.ts'
import { passedOn } from '../attempts/launch.ts'
import { type AccessOptions, type ModelAccess, modelAccess } from '../proxy/model-access.ts'
import { checkWorkingFolder } from '../sandbox/launch.ts'
import { SessionHomes } from './session-homes.ts'
import { SessionLocks } from './session-locks.ts'

export interface AgentsOptions {
  /** Of the runner, for messages; absent: it is nobody's but the person's who reads them. */
  runnerId?: string
  known: readonly Agent[]
  /** Where the attachments of prompts come from; absent: no prompt has any. */
  attachments?: AttachmentSource
  /** Where agents are installed: `<folder>/<agent name>/node_modules/…`. */
  folder: string
  /** Folder of the sessions' own folders. */
  sessionsDir: string
  /** Folders that agents may work in, beside the run's workspace; `any`: all there are. */
  allowedDirs: readonly string[] | 'any'
  /** `copy`: an agent in a box that has no key gets a copy of the user's sign-in. */
  signIn?: 'copy' | 'none'
  /** Models that agents in a box may use, as `isAllowedModel` reads them; absent: all. */
  models?: readonly string[]
  /**
   * Shows that a program asks before it uses a tool; answers why it may not be used so. Absent: it is taken for
   * granted.
   */
  asks?(agent: Agent, program: Program, asked: AskedFor, signal: AbortSignal): Promise<AskFinding>
}

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy']
/** Those that name files by which servers are trusted. */
const TRUST = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR']
/** Settings of the machine that all agents are given, beside their own. */
const SETTINGS = [...PROXIES, ...TRUST]
/** Variables of the machine that say nothing in a box. */
const OUTSIDE = [...PROXIES, 'HOME', 'USER', 'TMPDIR']
/** A program that was just found is not looked for again for so long. */
const LOCATED_FOR_MS = 30_000

/** The agents of this machine: which there are, where they stand, what they are given. */
export class AgentServices {
  readonly options: AgentsOptions
  readonly homes: SessionHomes
  readonly holds = new SessionLocks()
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

  /** Throws `invalid_argument` with the names of those there are. */
  named(name: string): Agent {
    const { known } = this.options
    const agent = known.find((each) => each.name === name)
    if (agent) return agent
    throw new ErrandError('invalid_argument', `There is no agent "${name}".`, {
      hint: `There are: ${known.map((each) => each.name).join(', ')}.`,
    })
  }

  /** Throws `invalid_argument` where it is not installed, with the command that installs it. */
  async program(agent: Agent): Promise<Program> {
    const before = this.#located.get(agent.name)
    const fresh = before && Date.now() - before.atMs < LOCATED_FOR_MS
    const found = fresh ? before.found : agent.locate({ folder: this.options.folder, env: this.#env })
    if (!fresh) this.#located.set(agent.name, { atMs: Date.now(), found })
    const located = await found
    if (located.type === 'found') return located.program
    this.#located.delete(agent.name)
    const what = located.type === 'missing' ? 'is not installed here' : 'cannot be used'
    const hint = agent.install && `${installCommand(agent.name)} installs it.`
    throw new ErrandError('invalid_argument', `${agent.title} ${what}: ${located.why}.`, { hint })
  }

  /**
   * The environment that the agent's process is given: the keys and settings of this machine, and over them what the step sets.
   * `apart`: in a box, where this machine's folders are not; the key of the user's sign-in stands in for one then.
   */
  environment(agent: Agent, spec: Pick<AttemptSpec, 'env'>, { apart = false } = {}): Record<string, string> {
    const { keys, configuration = [] } = agent
    const given = passedOn(this.#env, [...keys, ...configuration, ...this.#settings])
    if (apart) for (const name of [...OUTSIDE, ...this.#folders]) delete given[name]
    const env = { ...given, ...spec.env }
    return apart && !this.#hasKey(agent, env) ? { ...this.#keyOfSignIn(agent), ...env } : env
  }

  #hasKey(agent: Agent, env: Readonly<Record<string, string>>): boolean {
    const { services, keys } = agent.direct?.(env) ?? { services: [], keys: [] }
    const isDirect = services.length > 0 || keys.length > 0
    return isDirect || agent.keys.some((name) => (env[name] ?? '') !== '')
  }

  /** Where a copy of the sign-in goes in, it is all that the agent gets. */
  #keyOfSignIn(agent: Agent): Record<string, string> | undefined {
    return this.signIn(agent).length > 0 ? undefined : agent.keyOfSignIn?.(this.#env)
  }

  /** An environment of a box with stand-ins for its keys, and the rules for the door of that box. */
  access(
    agent: Agent,
    env: Readonly<Record<string, string>>,
    more: Omit<AccessOptions, 'machine' | 'models'>,
  ): ModelAccess {
    // Nobody's but the person's whose steps they are: what a step names is the machine's owner's word.
    const step = this.options.runnerId === undefined ? undefined : more.step
    const { models } = this.options
    return modelAccess(agent, env, { ...more, step, machine: this.#env, models })
  }

  /** The files of the user's sign-in, where a box may have a copy of them and there are any. */
  signIn(agent: Agent): readonly SignInFile[] {
    if (this.options.signIn !== 'copy') return []
    return (agent.signIn?.(this.#env) ?? []).filter(({ from }) => existsSync(from))
  }

  /** The variables of this machine that name files by which servers are trusted. */
  get trust(): [name: string, value: string][] {
    return TRUST.flatMap((name) => (this.#env[name] ? [[name, this.#env[name]] as [string, string]] : []))
  }

  /** Throws `invalid_argument` for a folder that is not there, or that agents may not work in. */
  workingFolder(cwd: string | undefined, workspace: string): string {
    const folder = cwd === undefined ? workspace : resolve(workspace, cwd)
    checkWorkingFolder(folder)
    const { allowedDirs } = this.options
    if (cwd === undefined || allowedDirs === 'any') return folder
    const real = realPath(folder, '/')
    const allowed = [workspace, ...allowedDirs].map((each) => realPath(each, '/'))
    if (allowed.some((each) => isBelow(real, each))) return folder
    throw new ErrandError('invalid_argument', `Agents may not work in ${folder} on this runner.`, {
      hint: `Start the runner, or errand up, with --allow-dir ${folder}, or leave cwd out. Allowed are ${allowed.join(', ')}.`,
    })
  }
}
