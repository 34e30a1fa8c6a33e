import type { AgentUpdate, AgentUpdateOf } from '../../contract/agent.ts'
import type { JsonObject } from './json-rpc.ts'

export type FileDiff = NonNullable<AgentUpdateOf<'tool'>['diffs']>[number]

/** A text that an agent mixes into its model's messages, and what it really is. */
export type Aside =
  | { type: 'notice'; text: string }
  | { type: 'retry'; text: string }
  /** A text that says only what is told anyway. */
  | { type: 'noise' }
  /** If nothing follows in this turn, the turn has failed with this text. */
  | { type: 'failure'; text: string }

/** In what agents that speak the Agent Client Protocol differ. */
export interface AcpProfile {
  /** As runs name it. */
  agent: string
  usage: {
    /** The calls that the `usage` in a prompt's answer counts; `last_step`: only the model's last call. */
    counts: 'prompt' | 'last_step' | 'process'
    /** Its input tokens include those read from a cache. */
    cachedInInput: boolean
    /** Its output tokens are without those of thoughts. */
    thoughtsApart: boolean
  }
  /** A hint for where the model's service lets nobody in: which variables hold its key. */
  keyHint?: string
  /** The agent ends its turn without a word, and as if nothing were wrong, where its model refused. */
  refusesInSilence?: boolean
  /** `launch`: by argument or environment; `session`: by the protocol, once the session is there. */
  model: 'launch' | 'session'
  /** An option of the session that must have this value so that the agent asks. */
  asking?: { option: string; value: string }
  /** The change that a tool's raw input stands for, where the agent tells it in no other way. */
  diff?(rawInput: JsonObject): FileDiff | undefined
  /** The update for a notification that is none of the protocol's. */
  told?(method: string, params: JsonObject): AgentUpdate | undefined
  /**
   * The agent tells the size of its context before each call of its model: the same size twice running is the
   * same call again.
   */
  sizeBeforeCall?: boolean
  /**
   * Whether the last message of a turn, whole, is an error that the agent tells as if its model had said it.
   * `modelWrote`: by what it tells of its tokens, the model did write something.
   */
  endsInError?(message: string, modelWrote: boolean): boolean
  /** Whether a text among the model's messages is the agent's own. */
  aside?(text: string, during: { tool: boolean }): Aside | undefined
}

/** A text that a service's refusal came with, and what to do. */
export const withHint = (text: string, hint: string | undefined): string =>
  hint === undefined ? text : `${text.replace(/\.$/, '')}. ${hint}`
