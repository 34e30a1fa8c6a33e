import type { AgentUpdate, AgentUpdateOf } from '../../contract/agent.ts'
import type { JsonObject } from './json-rpc.ts'

export type FileDiff = NonNullable<AgentUpdateOf<'tool'>['diffs']>[number]

/** Classifies a text that an agent itself mixes into its model's messages. */
export type Aside =
  | { type: 'notice'; text: string }
  | { type: 'retry'; text: string }
  /** Repeats something that another update reports. */
  | { type: 'noise' }
  /** Means that the turn failed with this text, if nothing follows in this turn. */
  | { type: 'failure'; text: string }

/** Describes the differences between agents that speak the Agent Client Protocol. */
export interface AcpProfile {
  /** Name of the agent in runs. */
  agent: string
  usage: {
    /** Calls that the `usage` in a prompt's answer counts; `last_step` is only the model's last call. */
    counts: 'prompt' | 'last_step' | 'process'
    /** Whether the input tokens include those read from a cache. */
    cachedInInput: boolean
    /** Whether the output tokens exclude those of thoughts. */
    thoughtsApart: boolean
  }
  /** Hint for a service that denies access: the variables that hold its key. */
  keyHint?: string
  /** Whether the agent ends a turn normally and without a message if its model refused. */
  refusesInSilence?: boolean
  /**
   * Way to set the model. `launch`: by argument or environment; `session`: by the protocol, once the session exists.
   */
  model: 'launch' | 'session'
  /** Session option and the value that makes the agent ask for permission. */
  asking?: { option: string; value: string }
  /** Returns the change that a tool's raw input describes, for an agent that reports no diffs itself. */
  diff?(rawInput: JsonObject): FileDiff | undefined
  /** Returns the update for a notification outside of the protocol. */
  reported?(method: string, params: JsonObject): AgentUpdate | undefined
  /**
   * Whether the agent reports the size of its context before each call of its model. The same size twice in a row then
   * means that the call is repeated.
   */
  sizeBeforeCall?: boolean
  /**
   * Reports whether the last message of a turn is an error that the agent presents as its model's words. `modelWrote`:
   * by the token counts, the model did write something.
   */
  endsInError?(message: string, modelWrote: boolean): boolean
  /** Classifies a text among the model's messages that is the agent's own; undefined if it is the model's. */
  aside?(text: string, during: { tool: boolean }): Aside | undefined
}

/** Appends a hint to the text of a service's refusal. */
export const withHint = (text: string, hint: string | undefined): string =>
  hint === undefined ? text : `${text.replace(/\.$/, '')}. ${hint}`
