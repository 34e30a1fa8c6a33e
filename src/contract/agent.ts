import * as z from 'zod'
import { Attachment, MAX_ATTACHMENTS, ToolKind } from './actions.ts'
import { AttachmentKind } from './attachment-kind.ts'
import { Isolation } from './isolation.ts'

export {
  Attachment,
  Budget,
  MAX_ATTACHMENT_BYTES,
  MAX_ATTACHMENTS,
  MAX_INPUT_BYTES,
  MAX_PROMPT_ATTACHED_BYTES,
  MAX_UPDATE_BYTES,
  PermissionRule,
  Permissions,
  ToolKind,
} from './actions.ts'

/** The updates of all agents share one vocabulary, shaped like the Agent Client Protocol's session updates. */

export const ToolStatus = z.enum(['pending', 'running', 'completed', 'failed', 'denied'])

/** A change of one file: whole texts (`old_text` absent: a new file) or a unified diff, each limited to 64 KiB. */
export const FileDiff = z.object({
  path: z.string(),
  old_text: z.string().optional(),
  new_text: z.string().optional(),
  unified: z.string().optional(),
})
export type FileDiff = z.infer<typeof FileDiff>

/** Tokens of one turn, and the session's so far; cost in US dollars if the agent reports it. */
export const Usage = z.object({
  input_tokens: z.number().int().min(0).describe('Without tokens read from a cache'),
  cached_input_tokens: z.number().int().min(0),
  output_tokens: z.number().int().min(0),
  cost_usd: z.number().min(0).optional(),
})
export type Usage = z.infer<typeof Usage>

export const StopReason = z.enum(['end_turn', 'max_tokens', 'max_turns', 'refusal', 'canceled', 'error'])

/** The reason why a model could not be used. */
export const ModelFailure = z.enum([
  'auth',
  'rate_limit',
  'overloaded',
  'server_error',
  'unreachable',
  'bad_model',
  'broken_stream',
  'other',
])
export type ModelFailure = z.infer<typeof ModelFailure>

const text = z.string()

/** A model that an agent offers: the agent's own id and name for it. */
export const AgentModel = z.object({ id: text, name: text.optional() })
export type AgentModel = z.infer<typeof AgentModel>

const attachments = z.array(Attachment).max(MAX_ATTACHMENTS).optional()
export const AgentUpdate = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('session'),
    agent: text,
    version: text.optional(),
    model: text.optional(),
    session_id: text.optional(),
    /** new: just begun; loaded: an earlier session was resumed; same: the process was still there. */
    origin: z.enum(['new', 'loaded', 'same']),
    /** The kinds of attachments that it accepts; absent: none. */
    takes: z.array(AttachmentKind).optional(),
    /** Set when the session can be branched. */
    forks: z.literal(true).optional(),
    /** The models that it offers during the session; absent: none. */
    models: z.array(AgentModel).max(100).optional(),
  }),
  z.object({ kind: z.literal('prompt'), input_id: text, text, attachments }),
  /** The session's model has changed; `refused`: it has not, for the reason that the agent gives. */
  z.object({ kind: z.literal('model'), model: text, who: text.optional(), refused: text.optional() }),
  /** Reports whether a queued prompt was changed (`done`), or the agent already had it. */
  z.object({
    kind: z.literal('queue'),
    input_id: text,
    prompt_id: text,
    change: z.enum(['edit', 'withdraw', 'up']),
    text: text.optional(),
    who: text.optional(),
    done: z.boolean(),
  }),
  z.object({ kind: z.literal('message'), text }),
  z.object({ kind: z.literal('thought'), text }),
  z.object({
    kind: z.literal('tool'),
    tool_id: text,
    title: text.optional(),
    tool_kind: z.optional(ToolKind),
    status: ToolStatus.optional(),
    /** The tool's arguments, limited to 16 KiB as JSON text. */
    input: text.optional(),
    /** The tool's result as text, limited to 16 KiB. */
    output: text.optional(),
    diffs: z.array(FileDiff).optional(),
    paths: z.array(text).optional(),
  }),
  z.object({
    kind: z.literal('plan'),
    entries: z.array(z.object({ text, status: z.enum(['pending', 'in_progress', 'completed']) })),
  }),
  z.object({ kind: z.literal('usage'), turn: Usage, session: Usage }),
  z.object({
    kind: z.literal('permission'),
    request_id: text,
    tool_id: text.optional(),
    title: text,
    tool_kind: z.optional(ToolKind),
    paths: z.array(text).optional(),
    input: text.optional(),
    /** Set when another input may be allowed instead. */
    editable: z.literal(true).optional(),
    expires_at: text.optional(),
  }),
  z.object({
    kind: z.literal('permission_answered'),
    request_id: text,
    decision: z.enum(['allow', 'deny']),
    /** nobody: no person could be asked. */
    by: z.enum(['person', 'rule', 'policy', 'timeout', 'canceled', 'nobody']),
    who: text.optional(),
    rule: text.optional(),
    /** Set when the use is also allowed for the rest of the session. */
    scope: z.literal('session').optional(),
    reason: text.optional(),
    /** The allowed input, as JSON text, if it replaces the agent's own. */
    input: text.optional(),
  }),
  z.object({
    kind: z.literal('retry'),
    failure: ModelFailure,
    message: text,
    attempt: z.number().int().optional(),
  }),
  z.object({
    kind: z.literal('verify'),
    command: text,
    status: z.enum(['running', 'passed', 'failed']),
    output: text.optional(),
  }),
  z.object({
    kind: z.literal('turn_ended'),
    stop_reason: StopReason,
    message: text.optional(),
    failure: ModelFailure.optional(),
  }),
  /** The agent has nothing to do: it waits for a prompt until the given time. */
  z.object({ kind: z.literal('idle'), until: text.optional() }),
  z.object({ kind: z.literal('notice'), text }),
])
export type AgentUpdate = z.infer<typeof AgentUpdate>
export type AgentUpdateOf<K extends AgentUpdate['kind']> = Extract<AgentUpdate, { kind: K }>

/** A tool use that did not happen, and who denied it. */
export const DeniedUse = z.object({
  title: text,
  tool_kind: z.optional(ToolKind),
  /** timeout: nobody answered in time; nobody: no person could be asked; agent: its program decided by itself. */
  by: z.enum(['person', 'rule', 'policy', 'timeout', 'nobody', 'agent']),
  rule: text.optional(),
})
export type DeniedUse = z.infer<typeof DeniedUse>
export const DeniedUses = z.object({ count: z.number().int().min(1), first: z.array(DeniedUse).max(20) })
export type DeniedUses = z.infer<typeof DeniedUses>

/** An input that a person or program gives to a running attempt. Its id makes repeating it harmless. */
export const AttemptInput = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('prompt'),
    input_id: text,
    text: text.min(1),
    attachments,
    /** Set when it goes ahead of all queued prompts, and ends what the agent is doing. */
    now: z.literal(true).optional(),
  }),
  /** Changes a prompt that the agent has not taken: edits its text, withdraws it, or moves it up one place. */
  z.object({
    type: z.literal('queue'),
    input_id: text,
    prompt_id: text,
    change: z.enum(['edit', 'withdraw', 'up']),
    /** The new text of an edit. */
    text: text.min(1).optional(),
    who: text.optional(),
  }),
  z.object({ type: z.literal('model'), input_id: text, model: text.min(1), who: text.optional() }),
  z.object({
    type: z.literal('permission'),
    input_id: text,
    request_id: text,
    decision: z.enum(['allow', 'deny']),
    who: text.optional(),
    /** Set when an allowed use may be repeated in this session without asking. */
    scope: z.literal('session').optional(),
    /** The reason for denying it, for the agent. */
    reason: text.optional(),
    /** The allowed arguments of the tool, as JSON text, if they replace those that the agent asked for. */
    input: text.optional(),
    /** Set when no person answered, because none could be asked. */
    nobody: z.literal(true).optional(),
  }),
  /** Ends the turn, not the session. */
  z.object({ type: z.literal('cancel_turn'), input_id: text }),
  /** Announces that no more prompts will come: the session ends once it is idle. */
  z.object({ type: z.literal('close'), input_id: text }),
])
export type AttemptInput = z.infer<typeof AttemptInput>

/** An input as a person or program gives it; without an id it gets one. */
export type NewInput = AttemptInput extends infer I
  ? I extends AttemptInput
    ? Omit<I, 'input_id' | 'who'> & { input_id?: string }
    : never
  : never

/** The state of an agent on a machine. */
export const AgentState = z.object({
  name: text,
  title: text,
  installed: z.boolean(),
  version: text.optional(),
  /** Whether the agent is installed, and the key or log-in that it needs was found. The key itself is not tested. */
  usable: z.boolean(),
  /** The reason why it is not usable. */
  why: text.optional(),
  /** The command that installs it. */
  install: text.optional(),
  /** The default isolation of its sessions; absent from a machine that makes no boxes. */
  isolation: z.optional(Isolation),
  /** The reason why its sessions have no box. */
  isolation_why: text.optional(),
})
export type AgentState = z.infer<typeof AgentState>
