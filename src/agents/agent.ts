import type { AgentUpdate, Attachment } from '../contract/agent.ts'

/**
 * A coding agent behind one interface: a folder each, and one line in `registry.ts`. The program is started by the
 * runner, which owns its input, its output, the clock and the process tree; an agent only says what it needs, how it is
 * found and started, and speaks its protocol. What it needs stands here alone: what is installed, handed on and masked
 * follows from it.
 */
export interface Agent {
  /** As runs name it: `claude_code`. */
  name: string
  title: string
  /** Where it comes from; absent: it is not installed by Errand. */
  install?: AgentInstall
  /**
   * Environment variables that hold a key for its model; one of them is enough. Empty: it needs none. It is given those of
   * its machine, and no attempt on that may put one out.
   */
  keys: readonly string[]
  /** Other variables that hold a secret of it: no attempt may put one out, and only a step gives it one. */
  secrets?: readonly string[]
  /**
   * The services of models that it can be pointed at, so that in a box a proxy has their keys and it has not; the first that is
   * of a name counts.
   */
  services?: readonly ModelService[]
  /**
   * Services that an environment makes it reach by itself, and variables that hold what it needs inside for that. `unused`: keys that
   * it does not use so.
   */
  direct?(env: Readonly<Record<string, string>>): {
    services: readonly string[]
    keys: readonly string[]
    unused?: readonly string[]
  }
  /** Variables that it goes by. Agents are given those of the machine that any of them goes by. */
  settings?: readonly string[]
  /** Of the settings, those that name a folder of the user's: where it runs apart from that, those of the machine do not count. */
  folders?: readonly string[]
  /** Variables that hold all of its configuration, keys perhaps: it alone is given those of its machine. */
  configuration?: readonly string[]
  /** The files that a sign-in of the user's stands in, with that environment, and where its own folder below a session's home has them. */
  signIn?(env: Readonly<Record<string, string | undefined>>): readonly SignInFile[]
  /**
   * The key of its service that such a sign-in holds, as the variable that it could be given in: in a box the proxy has it, and the agent
   * has not. Undefined where there is none that is good now.
   */
  keyOfSignIn?(env: Readonly<Record<string, string | undefined>>): Record<string, string> | undefined
  /**
   * How it tells the tokens that it uses: of each call of its model as that ends, of a turn at its end, of the last call
   * of a turn alone, or in a way that nobody here knows. Only the first can be held to a number of them.
   */
  usage: 'each_call' | 'each_turn' | 'last_call' | 'unknown'
  /** Finds the program on this machine. Starts one at most to ask for its version; never throws. */
  locate(places: AgentPlaces): Promise<Located>
  /** How the program is started for a session. Throws `invalid_argument` for a request it cannot carry out. */
  launch(request: SessionRequest, program: Program): AgentLaunch
  /**
   * Changes to a request by which it uses the model service at that address (without `/v1`), to check that it
   * asks before it uses a tool. Absent: each session is tried out with its own program, settings and model.
   */
  modelAt?(url: string, key: string): { env: Record<string, string>; model?: string }
  /** A conversation with one process of it. */
  protocol(request: SessionRequest, port: ProtocolPort): AgentProtocol
}

/** A service of models that an agent takes by a base URL and a key. */
export interface ModelService {
  /** A path segment: `anthropic`. */
  name: string
  /** Anthropic's Messages, or OpenAI's Responses and Chat Completions, whose base URL holds the version (`/v1`). */
  shape: 'messages' | 'openai'
  /** Variables of its key, of which the first that is set counts, the header that it goes in, and how what stands for it begins. */
  keys: readonly { variable: string; header: 'x-api-key' | 'bearer'; begins: string }[]
  /** The variable of its base URL. */
  url: string
  /** Absent: without that variable there is no such service. */
  defaultUrl?: string
  /** The agent adds the version to a base URL that has none. */
  addsVersion?: boolean
  /** Where its base URL is given it may be used without a key. */
  keyless?: boolean
  /** The variable of further headers, which may be secret. */
  headers?: string
  /** Headers that say which account of the service pays, by the variables that they stand in: those of whoever has given the key count. */
  account?: Readonly<Record<string, string>>
  /** Only where that variable has one of these values; empty stands for none. */
  where?: { variable: string; values: readonly string[] }
}

/** The kind of machine a native program is for. */
export interface Machine {
  platform: string
  arch: string
  /** An x64 processor that is too old for AVX2. */
  old?: boolean
}

/** A program that `errand agents install` can fetch, at the version that its agent was tested with. */
export interface AgentInstall {
  /** npm package and the pinned version. */
  package: string
  version: string
  /** Its name on PATH. */
  program: string
  /** Native programs below node_modules, the first that is there is the one. npm brings what fits the machine's libc. */
  natives(machine: Machine): readonly string[]
  /** The space an install takes, roughly. */
  megabytes: number
  /** Environment variable of a folder that it unpacks itself into; it is then filled at the install, for all to share. */
  cacheVariable?: string
}

export interface SignInFile {
  /** Absolute. */
  from: string
  /** Below the session's home. */
  to: string
}

export interface AgentPlaces {
  /** Where `errand agents install` puts packages: `<folder>/<agent name>/node_modules/…`. */
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

/** Who answers when the agent asks whether it may use a tool: nobody (`allow`: everything is allowed, `deny`) or Errand. */
export type AskMode = 'allow' | 'deny' | 'ask'

export interface SessionRequest {
  /** Absolute. */
  cwd: string
  model?: string
  extra_args: readonly string[]
  ask: AskMode
  /** With `ask`: also before it reads and searches, where the agent can. Set it where a rule speaks of reading. */
  asks_reading?: boolean
  /** The agent's own id of a session to take up again; absent: a new one. */
  session_id?: string
  /** With `session_id`: as a branch of it. */
  fork?: true
  /** A UUID for a new session, for agents that let the caller choose. */
  new_session_id: string
  /** Most turns of the model per prompt, where the agent can limit them. */
  max_turns?: number
  /** Set where it runs in a box, and nothing of the user's home is: only what stands in the session's home counts. */
  apart?: true
  /** The environment that the step sees: keys, base URLs. */
  env: Readonly<Record<string, string>>
  /** A private folder of this session, that lasts as long as the session may be loaded again. */
  home: string
  /** Only for `acp`: the command, program first. */
  command?: readonly string[]
}

export interface AgentLaunch {
  /** Absolute; only where it is not the located one: the request names it (`acp`), or that is run by another. */
  program?: string
  /** Arguments after the program. */
  args: readonly string[]
  /** Beyond the step's own. */
  env: Record<string, string>
  /** Written, mode 0600, before the start. Paths are absolute, below `request.home`. */
  files?: readonly { path: string; content: string }[]
  /** Files and folders that the program is made of, beside what is installed for the agent: a box lets it read them. */
  parts?: readonly string[]
}

/**
 * The calls that a protocol may make. It must be deterministic: the same calls in the same order lead to the
 * same lines and updates, for a restarted runner replays the calls to know where the conversation stands (so:
 * no clock, no chance, ids from counters).
 */
export interface ProtocolPort {
  /** A line to the program's standard input, without its newline. */
  send(line: string): void
  update(update: AgentUpdate): void
  /** The agent can take a prompt now: after the hand-shake, and again when a turn has ended. */
  ready(): void
  /** The agent cannot go on (refused hand-shake, unknown model …); the process is ended. */
  failed(failure: ProtocolFailure): void
}

export interface ProtocolFailure {
  reason: 'start_failed' | 'model' | 'action_failed' | 'invalid_argument'
  message: string
}

/** An attachment with its bytes. */
export interface Attached extends Attachment {
  content: Buffer
}

/** Calls come one at a time. Lines that are no JSON, or of a shape it does not know, are left aside, never thrown at. */
export interface AgentProtocol {
  /** Once, first: the process is there. */
  begin(): void
  /** A line of standard output. */
  line(text: string): void
  /** Only after `ready`. Updates follow, `turn_ended` last, then `ready` again. `attached`: of kinds that its session update `takes`. */
  prompt(text: string, attached?: readonly Attached[]): void
  /** Answers a `permission` update; `reason`: of a no; `input`: of a yes to an `editable` one, in place of the agent's, as JSON text. */
  answer(requestId: string, decision: 'allow' | 'deny', reason?: string, input?: string): void
  /** The agent is told the reason of a no with it; else it comes as a prompt after the turn. */
  readonly takesReasons?: true
  /**
   * Another of the models that its session update names, from the next call of the model or the next prompt on. `done` is called
   * once: refused, with the agent's words.
   */
  setModel?(model: string, done: (refused?: string) => void): void
  /** Ends the turn: `turn_ended` with `canceled` follows. */
  cancelTurn(): void
  /** The process has ended. Mid-turn: `turn_ended` with what is known (the tail of standard error helps). */
  exited(exit: { code?: number; signal?: string; stderr: string }): void
}
