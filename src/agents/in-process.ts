import type { AgentUpdate, AgentUpdateOf, ToolKind } from '../contract/agent.ts'
import type { Agent, SessionRequest } from './agent.ts'

/**
 * A coding agent that is no program of its own: it works inside the runner, and ends with it. What it may do,
 * its budgets, its prompts and the log of its updates are the same as those of all agents, and are the caller's.
 */
export interface InProcessAgent {
  /** As runs name it: `builtin`. */
  name: string
  title: string
  /** Environment variables that hold a key for its model. `check` tells whether a request can do without. */
  keys: readonly string[]
  usage: Agent['usage']
  /** Why it cannot carry this request out, and what to do; undefined: it can. Looks at files, never at the network. */
  check(request: SessionRequest): string | undefined
  /**
   * Begins the session, or takes up `request.session_id`; a `session` update comes before this returns. Aborting
   * `signal` is as `close`. Throws `invalid_argument` for what `check` would have refused.
   */
  open(request: SessionRequest, port: InProcessPort, signal: AbortSignal): InProcessSession
}

export interface InProcessPort {
  /**
   * Never `prompt`, `permission`, `permission_answered`, `turn_ended` or `idle`: these are the caller's to tell.
   * `usage` comes after each answer of the model: `turn` is the whole turn's so far, `session` all since `open`.
   */
  update(update: AgentUpdate): void
  /** Whether a tool may be used, by whatever the run's permissions are. May take as long as a person does. */
  permission(ask: ToolAsk): Promise<'allow' | 'deny'>
}

/** What a tool is about to do. */
export interface ToolAsk {
  tool_id: string
  title: string
  tool_kind: ToolKind
  /** Absolute, links resolved: what is really read or written. */
  paths: string[]
  /** Its arguments, bounded as in the tool's update. */
  input: string
}

export interface InProcessSession {
  /**
   * One turn, until the model says that it is done. Not called while another is going on. Aborting `signal` ends
   * it with `canceled`, once nothing that it started is left. Never rejects: what goes wrong is an end, too.
   */
  prompt(text: string, signal: AbortSignal): Promise<TurnEnd>
  /** Ends what is going on, as aborting does, and waits for it. May be called twice. The session can be loaded again. */
  close(): Promise<void>
}

/** What the caller makes the `turn_ended` update of. */
export type TurnEnd = Omit<AgentUpdateOf<'turn_ended'>, 'kind'>
