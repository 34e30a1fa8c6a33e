import type { AgentUpdate, Attachment } from '../contract/agent.ts'

/**
 * Describes a coding agent; each has a folder and one line in `registry.ts`. The runner starts the program and owns its
 * input, its output, the clock and the process tree. An agent only says what it needs and how its program is found and
 * started, and speaks its protocol. These needs are declared only here; installation, environment and masking follow
 * from them.
 */
export interface Agent {
  /** Name in runs, such as `claude_code`. */
  name: string
  title: string
  /** Source of its package; absent if Errand does not install it. */
  install?: AgentInstall
  /**
   * Environment variables that hold a key for its model; one is enough, and an empty list means that it needs none. The
   * agent gets those of its machine, and they are masked in the output of every attempt on it.
   */
  keys: readonly string[]
  /** Other variables that hold a secret of it: they are masked in all output, and only a step can provide them. */
  secrets?: readonly string[]
  /**
   * Model services to which it can be pointed, so that in a box a proxy has the keys instead of the agent. The first
   * service of a name counts.
   */
  services?: readonly ModelService[]
  /**
   * Returns the services that it reaches directly with this environment, and the variables that it needs inside the box
   * for that. `unused` lists keys that it does not use in this case.
   */
  direct?(env: Readonly<Record<string, string>>): {
    services: readonly string[]
    keys: readonly string[]
    unused?: readonly string[]
  }
  /** Variables that configure it. Every agent gets the machine's variables that configure any agent. */
  settings?: readonly string[]
  /** Settings that name a folder of the user; in a box without that folder, the machine's values do not apply. */
  folders?: readonly string[]
  /** Variables that hold its whole configuration, perhaps with keys; only this agent gets the machine's values. */
  configuration?: readonly string[]
  /** Returns the files of the user's sign-in with this environment, and their places below a session's home. */
  signIn?(env: Readonly<Record<string, string | undefined>>): readonly SignInFile[]
  /**
   * Returns the service's key from such a sign-in, as the variable that can carry it; in a box the proxy has it instead
   * of the agent. Returns undefined if there is no key that is valid now.
   */
  keyOfSignIn?(env: Readonly<Record<string, string | undefined>>): Record<string, string> | undefined
  /**
   * Way in which it reports its tokens: after each call of its model, at the end of each turn, only for the last call
   * of a turn, or unknown. Only `each_call` allows a token limit.
   */
  usage: 'each_call' | 'each_turn' | 'last_call' | 'unknown'
  /** Finds the program on this machine. Starts one at most to ask for its version; never throws. */
  locate(places: AgentPlaces): Promise<Located>
  /**
   * Returns how to start the program for a session. Throws `invalid_argument` for a request that it does not support.
   */
  launch(request: SessionRequest, program: Program): AgentLaunch
  /**
   * Returns changes to a request that make it use the model service at that URL (without `/v1`), to check that it asks
   * before it uses a tool. If absent, each session is checked with its own program, settings and model.
   */
  modelAt?(url: string, key: string): { env: Record<string, string>; model?: string }
  /** Returns the protocol for a conversation with one process of the agent. */
  protocol(request: SessionRequest, port: ProtocolPort): AgentProtocol
}

/** Describes a model service that an agent uses by a base URL and a key. */
export interface ModelService {
  /** Name, usable as a path segment, such as `anthropic`. */
  name: string
  /**
   * API: Anthropic's Messages, or OpenAI's Responses and Chat Completions, whose base URL includes the version (`/v1`).
   */
  shape: 'messages' | 'openai'
  /**
   * Variables for its key (the first one set counts), the header that carries it, and the prefix of its placeholder.
   */
  keys: readonly { variable: string; header: 'x-api-key' | 'bearer'; begins: string }[]
  /** Variable that holds its base URL. */
  url: string
  /** URL if that variable is not set; if absent, the service then does not exist. */
  defaultUrl?: string
  /** Whether the agent adds the version to a base URL without one. */
  addsVersion?: boolean
  /** Whether it may be used without a key if its base URL is set. */
  keyless?: boolean
  /** Variable that holds further headers, which may be secret. */
  headers?: string
  /**
   * Headers that select the account that pays, each with its variable; they must come from where the key comes from.
   */
  account?: Readonly<Record<string, string>>
  /** Condition: the service exists only if this variable has one of these values; "" means that it is not set. */
  where?: { variable: string; values: readonly string[] }
}

/** Describes the kind of machine for which a native program is built. */
export interface Machine {
  platform: string
  arch: string
  /** Whether it is an x64 processor without AVX2. */
  old?: boolean
}

/** Describes a program that `errand agents install` can fetch, in the version with which its agent was tested. */
export interface AgentInstall {
  /** Name of the npm package; `version` is the pinned version. */
  package: string
  version: string
  /** Name of the program on PATH. */
  program: string
  /**
   * Returns paths below node_modules; the first that exists is the program. npm fetches the one for the machine's libc.
   */
  natives(machine: Machine): readonly string[]
  /** Approximate size of an installation. */
  megabytes: number
  /** Variable for the folder into which it unpacks itself; the installation fills that folder for all sessions. */
  cacheVariable?: string
}

export interface SignInFile {
  /** Absolute path. */
  from: string
  /** Path below the session's home. */
  to: string
}

export interface AgentPlaces {
  /** Folder of `errand agents install`: packages are in `<folder>/<agent name>/node_modules/…`. */
  folder: string
  env: NodeJS.ProcessEnv
}

export interface Program {
  /** Absolute path of the native program (never a wrapper that would leave it running when killed). */
  path: string
  version: string
}
export type Located =
  | { type: 'found'; program: Program }
  | { type: 'missing'; why: string }
  | { type: 'broken'; why: string }

/**
 * Decides about tools: `allow` and `deny` decide without questions; with `ask`, Errand answers the agent's questions.
 */
export type AskMode = 'allow' | 'deny' | 'ask'

export interface SessionRequest {
  /** Absolute path of the working folder. */
  cwd: string
  model?: string
  extra_args: readonly string[]
  ask: AskMode
  /** Whether, with `ask`, the agent must also ask before it reads and searches; set if a rule is about reading. */
  asks_reading?: boolean
  /** Agent's own id of the session to resume; absent for a new session. */
  session_id?: string
  /** Whether to branch the session `session_id` instead of resuming it. */
  fork?: true
  /** UUID for a new session, for agents that let the caller choose it. */
  new_session_id: string
  /** Most turns of the model per prompt, for agents that can limit them. */
  max_turns?: number
  /** Whether it runs in a box without the user's home, so that only the session's home counts. */
  apart?: true
  /** Environment of the step, with keys and base URLs. */
  env: Readonly<Record<string, string>>
  /** Private folder of this session, which exists as long as the session can be loaded again. */
  home: string
  /** Command with the program first; only for `acp`. */
  command?: readonly string[]
}

export interface AgentLaunch {
  /** Absolute path, if the request names the program (`acp`) or another program runs the located one. */
  program?: string
  /** Arguments after the program. */
  args: readonly string[]
  /** Variables in addition to those of the step. */
  env: Record<string, string>
  /** Files to write with mode 0600 before the start. Paths are absolute, below `request.home`. */
  files?: readonly { path: string; content: string }[]
  /** Files and folders of the program besides the agent's installation; a box lets it read them. */
  parts?: readonly string[]
}

/**
 * Receives the calls of a protocol. A protocol must be deterministic (no clock, no random numbers, ids from counters):
 * the same calls in the same order lead to the same lines and updates, because a restarted runner replays them to
 * restore the conversation's state.
 */
export interface ProtocolPort {
  /** Sends a line to the program's standard input; `line` has no newline. */
  send(line: string): void
  update(update: AgentUpdate): void
  /** Reports that the agent accepts a prompt: after the handshake, and again after each turn. */
  ready(): void
  /** Reports that the agent cannot continue (refused handshake, unknown model …); the process is then ended. */
  failed(failure: ProtocolFailure): void
}

export interface ProtocolFailure {
  reason: 'start_failed' | 'model' | 'action_failed' | 'invalid_argument'
  message: string
}

/** Describes an attachment with its bytes. */
export interface Attached extends Attachment {
  content: Buffer
}

/**
 * Conducts a conversation with one process. Calls come one at a time. Lines with invalid JSON or unknown shapes are
 * ignored.
 */
export interface AgentProtocol {
  /** Begins the conversation; called once, first, when the process has started. */
  begin(): void
  /** Takes a line of standard output. */
  line(text: string): void
  /**
   * Starts a turn; only called after `ready`. Updates follow, the last one is `turn_ended`, then `ready` again.
   * `attached` has only kinds that the session update's `takes` names.
   */
  prompt(text: string, attached?: readonly Attached[]): void
  /**
   * Answers a `permission` update. `reason` explains a denial; `input` (JSON text) replaces the agent's input when an
   * `editable` one is allowed.
   */
  answer(requestId: string, decision: 'allow' | 'deny', reason?: string, input?: string): void
  /** Whether the agent gets the reason with a denial; otherwise it comes as a prompt after the turn. */
  readonly takesReasons?: true
  /**
   * Selects another of the models that the session update names, from the next call of the model or the next prompt on.
   * Calls `done` once, with the agent's reason if it refuses.
   */
  setModel?(model: string, done: (refused?: string) => void): void
  /** Ends the turn: `turn_ended` with `canceled` follows. */
  cancelTurn(): void
  /**
   * Reports the end of the process. In a turn, `turn_ended` follows with the known reason, such as the end of stderr.
   */
  exited(exit: { code?: number; signal?: string; stderr: string }): void
}
