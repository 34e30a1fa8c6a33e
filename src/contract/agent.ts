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

/** An update of an agent: one vocabulary for all of them, shaped like the Agent Client Protocol's session updates. */

export const ToolStatus = z.enum(['pending', 'running', 'completed', 'failed', 'denied'])

/** A change of one file: whole texts (`old_text` absent: a new file) or a unified diff, each bounded to 64 KiB. */
export const FileDiff = z.object({
  path: z.string(),
  old_text: z.string().optional(),
  new_text: z.string().optional(),
  unified: z.string().optional(),
})
export type FileDiff = z.infer<typeof FileDiff>

/** Tokens of one turn, and the session's so far; cost in US dollars where the agent tells it. */
export const Usage = z.object({
  input_tokens: z.number().int().min(0).describe('Without tokens read from a cache'),
  cached_input_tokens: z.number().int().min(0),
  output_tokens: z.number().int().min(0),
  cost_usd: z.number().min(0).optional(),
})
export type Usage = z.infer<typeof Usage>

export const StopReason = z.enum(['end_turn', 'max_tokens', 'max_turns', 'refusal', 'canceled', 'error'])

/** Why a model could not be used. */
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

/** A model that an agent lets be chosen: its own id, and what it calls it. */
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
    /** new: begun; loaded: an earlier one taken up again; same: the process was still there. */
    origin: z.enum(['new', 'loaded', 'same']),
    /** The kinds of attachments that it takes; absent: none. */
    takes: z.array(AttachmentKind).optional(),
    /** A branch of the session can be begun. */
    forks: z.literal(true).optional(),
    /** The models that it lets be chosen while it is in the session; absent: none. */
    models: z.array(AgentModel).max(100).optional(),
  }),
  z.object({ kind: z.literal('prompt'), input_id: text, text, attachments }),
  /** The model of the session is another from now on; `refused`: it is not, in the agent's words. */
  z.object({ kind: z.literal('model'), model: text, who: text.optional(), refused: text.optional() }),
  /** Whether a queued prompt was changed (`done`), or the agent had it already. */
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
    /** Its arguments, bounded to 16 KiB as JSON text. */
    input: text.optional(),
    /** Its result as text, bounded to 16 KiB. */
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
    /** Another input may be allowed in its place. */
    editable: z.literal(true).optional(),
    expires_at: text.optional(),
  }),
  z.object({
    kind: z.literal('permission_answered'),
    request_id: text,
    decision: z.enum(['allow', 'deny']),
    /** nobody: there was nobody who could be asked. */
    by: z.enum(['person', 'rule', 'policy', 'timeout', 'canceled', 'nobody']),
    who: text.optional(),
    rule: text.optional(),
    /** Allowed for the rest of the session too. */
    scope: z.literal('session').optional(),
    reason: text.optional(),
    /** Allowed with this input in place of the agent's own, as JSON text. */
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
  /** Nothing to do: it waits for a prompt until the time given. */
  z.object({ kind: z.literal('idle'), until: text.optional() }),
  z.object({ kind: z.literal('notice'), text }),
])
export type AgentUpdate = z.infer<typeof AgentUpdate>
export type AgentUpdateOf<K extends AgentUpdate['kind']> = Extract<AgentUpdate, { kind: K }>

/** A use of a tool that did not happen, and who decided so. */
export const DeniedUse = z.object({
  title: text,
  tool_kind: z.optional(ToolKind),
  /** timeout: nobody answered in time; nobody: nobody could be asked; agent: its program, by itself. */
  by: z.enum(['person', 'rule', 'policy', 'timeout', 'nobody', 'agent']),
  rule: text.optional(),
})
export type DeniedUse = z.infer<typeof DeniedUse>
export const DeniedUses = z.object({ count: z.number().int().min(1), first: z.array(DeniedUse).max(20) })
export type DeniedUses = z.infer<typeof DeniedUses>

/** An input that a person or program gives to a running attempt. The id makes repeating it harmless. */
export const AttemptInput = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('prompt'),
    input_id: text,
    text: text.min(1),
    attachments,
    /** Before all that are queued, and what the agent is at is ended for it. */
    now: z.literal(true).optional(),
  }),
  /** Changes a prompt that the agent has not taken: another text, no prompt any more, or one place earlier. */
  z.object({
    type: z.literal('queue'),
    input_id: text,
    prompt_id: text,
    change: z.enum(['edit', 'withdraw', 'up']),
    /** Of an edit. */
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
    /** An allowed use may be repeated in this session without being asked. */
    scope: z.literal('session').optional(),
    /** Why it is denied, for the agent. */
    reason: text.optional(),
    /** The arguments of its tool that are allowed in place of those that the agent asked for, as JSON text. */
    input: text.optional(),
    /** Set where it is no person's: there is nobody who could be asked. */
    nobody: z.literal(true).optional(),
  }),
  /** Ends the turn, not the session. */
  z.object({ type: z.literal('cancel_turn'), input_id: text }),
  /** No more prompts will come: ends once it is idle. */
  z.object({ type: z.literal('close'), input_id: text }),
])
export type AttemptInput = z.infer<typeof AttemptInput>

/** An input as a person or program gives it: an id is made for one that has none. */
export type GivenInput = AttemptInput extends infer I
  ? I extends AttemptInput
    ? Omit<I, 'input_id' | 'who'> & { input_id?: string }
    : never
  : never

/** An agent, as a machine has it. */
export const AgentState = z.object({
  name: text,
  title: text,
  installed: z.boolean(),
  version: text.optional(),
  /** Whether it is there, and what it needs (a key, a log-in) is found. Whether the key is good is not tried. */
  usable: z.boolean(),
  /** Why it is not usable. */
  why: text.optional(),
  /** The command that installs it. */
  install: text.optional(),
  /** How its sessions stand apart from the machine where nobody asks for more; absent from a machine that makes no boxes. */
  isolation: z.optional(Isolation),
  /** Why its sessions have no box. */
  isolation_why: text.optional(),
})
export type AgentState = z.infer<typeof AgentState>
