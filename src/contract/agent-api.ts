import * as z from 'zod'
import { AgentRunArgs, MAX_ATTACHMENTS } from './actions.ts'
import { AgentState, AttemptInput, DeniedUses, Usage } from './agent.ts'
import { BoxAskShape, ImageName, Isolation, Network } from './isolation.ts'
import { StepSecrets } from './step-secrets.ts'
import { ArtifactGlobs } from './tasks/artifact.ts'
import { WorkspaceAsk } from './tasks/workspace-ask.ts'
import { Scalar, VarName } from './workflow.ts'

/** Bodies of the API for messages to running agents, for the answers of a chat, and for the list of agents. */

const time = z.string().describe('RFC 3339, UTC')

const AttachmentIds = z
  .array(z.string().min(1).max(100))
  .max(MAX_ATTACHMENTS)
  .optional()
  .describe('Files and images to send with the prompt: the answer of `POST /api/store/artifacts` for each')

/** `POST /api/runs/:id/input`: exactly one of `prompt`, `permission`, `queue`, `model`, `cancel_turn` and `close`. */
export const RunInput = z.strictObject({
  prompt: z
    .string()
    .min(1)
    .optional()
    .describe('A follow-up prompt; if the run has ended, it starts a new run that continues the session'),
  permission: z
    .strictObject({
      request_id: z.string().min(1),
      decision: z.enum(['allow', 'deny']),
      scope: z
        .literal('session')
        .optional()
        .describe(
          'With allow: do not ask again in this session about the same use, or a use of the same files',
        ),
      reason: z.string().min(1).max(4000).optional().describe('With deny: the reason, for the agent'),
      input: z
        .record(z.string(), z.unknown())
        .optional()
        .describe(
          'With allow: arguments that replace the requested ones, if the agent accepts that (`editable`)',
        ),
    })
    .optional()
    .describe('Answers a question of the agent'),
  attachments: AttachmentIds,
  now: z
    .literal(true)
    .optional()
    .describe('With a prompt: put it before the queued prompts, and end the current turn of the agent'),
  queue: z
    .strictObject({
      prompt_id: z.string().min(1).describe('The `input_id` of the prompt'),
      change: z.enum(['edit', 'withdraw', 'up']).describe('`up`: move it one place up in the queue'),
      text: z.string().min(1).optional().describe('With `edit`: the new text'),
    })
    .optional()
    .describe('Change a prompt that the agent has not taken yet; 409 if it has'),
  model: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('The model to continue with: one of the models that the agent has reported'),
  fork: z
    .literal(true)
    .optional()
    .describe(
      'With a prompt for an ended run: the new run is a branch of its session; the session itself stays unchanged',
    ),
  cancel_turn: z.literal(true).optional().describe('End the current turn of the agent, but not the session'),
  close: z
    .literal(true)
    .optional()
    .describe('No more prompts will follow: the run ends as soon as it is idle'),
  input_id: AttemptInput.options[0].shape.input_id
    .min(1)
    .max(200)
    .optional()
    .describe('Sending the same id again changes nothing'),
  step: z.string().min(1).optional().describe('Needed if several steps of the run take inputs'),
  attempt: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe('Number of the attempt; needed if several attempts of one step take inputs'),
  interactive: z
    .boolean()
    .optional()
    .describe(
      'With a prompt for an ended run: whether the new run waits for more prompts (default: as the ended run did)',
    ),
})
export type RunInput = z.infer<typeof RunInput>
export const InputAccepted = z.object({
  run_id: z.string().describe('The run that got the input: a new run if the given one had ended'),
  input_id: z.string(),
  continues: z.string().optional().describe('For a new run: the run whose session it continues'),
})
export type InputAccepted = z.infer<typeof InputAccepted>

/** `details` of the 409 for a question that was already answered: the answer. */
export const AnsweredQuestion = z.object({
  request_id: z.string(),
  decision: z.enum(['allow', 'deny']),
  by: z.string().optional().describe('The person who answered'),
  cause: z
    .enum(['person', 'rule', 'policy', 'timeout', 'canceled', 'nobody'])
    .describe('`timeout`: nobody answered in time; `canceled`: the turn of the agent was over'),
  at: time,
})
export type AnsweredQuestion = z.infer<typeof AnsweredQuestion>

/** `details` of the 409 for a change that came too late for a queued prompt. */
export const TakenPrompt = z.object({
  prompt_id: z.string(),
  by: z.string().optional().describe('Who withdrew it; absent if the agent has taken it'),
  at: time,
})
export type TakenPrompt = z.infer<typeof TakenPrompt>

/** The answer of `POST /api/chat`. */
export const ChatAnswer = z.object({
  run_id: z.string(),
  message: z.string(),
  usage: Usage.optional().describe('Absent if the agent reports none'),
  denied: DeniedUses.optional().describe('Tool uses that the agent was denied'),
  role: z.literal('assistant'),
  content: z.string().describe('Same as `message`'),
  timestamp: time,
})
export type ChatAnswer = z.infer<typeof ChatAnswer>

/** The state of an agent on the connected runners. */
export const AgentHealth = AgentState.extend({
  available: z.boolean().describe('Same as `usable`'),
  error: z.string().optional().describe('Same as `why`'),
  runners: z
    .array(
      z.object({
        id: z.string(),
        version: z.string().optional(),
        usable: z.boolean(),
        why: z.string().optional(),
        isolation: AgentState.shape.isolation,
        isolation_why: z.string().optional(),
      }),
    )
    .optional()
    .describe('Each runner that has the agent; only with a token'),
})
export type AgentHealth = z.infer<typeof AgentHealth>
/** `GET /health/agents`, by the agents' names. */
export const AgentsHealth = z.object({ agents: z.record(z.string(), AgentHealth) })
export type AgentsHealth = z.infer<typeof AgentsHealth>

const {
  session: _session,
  verify_list: _list,
  gives_up_with: _word,
  attachments: _stored,
  ...fields
} = AgentRunArgs.shape

/** A request to an agent: the arguments of `agent.run`, taken literally (a `${` in them is not a variable). */
export const AgentRequest = z.strictObject({
  ...fields,
  attachments: AttachmentIds,
  env: z.record(VarName, Scalar).optional().describe('Variables for the agent, such as the key of its model'),
  secrets: z.optional(StepSecrets).describe('Secrets for the agent, by variable of its environment'),
  timeout_seconds: z
    .number()
    .positive()
    .max(31_536_000)
    .optional()
    .describe('Longest duration of the run, in seconds'),
  artifacts: z.optional(ArtifactGlobs),
  workspace: z.optional(WorkspaceAsk).describe('A checkout of a repository for the agent to work in'),
  ...BoxAskShape,
  runner: z.string().min(1).optional().describe('Id of the only runner to use'),
  group: z.string().min(1).optional().describe('Runner group to use'),
  labels: z.record(z.string(), z.string()).optional().describe('Labels the runner must have'),
})
export type AgentRequest = z.infer<typeof AgentRequest>
export type AgentRequestInput = z.input<typeof AgentRequest>

const nullishBox = {
  isolation: z.nullish(Isolation).describe('Minimum isolation of the agent from the machine'),
  network: z.nullish(Network).describe('The most that the agent may reach'),
  image: z.nullish(ImageName).describe('Image of its container'),
}

/** The input body of the agent API. */
export const OldInput = z.strictObject({
  text: AgentRunArgs.shape.prompt,
  attachments: z
    .array(z.unknown())
    .optional()
    .describe('Refused unless empty: this API passes no attachments to agents'),
})
export type OldInput = z.infer<typeof OldInput>

export const OldMetadata = z.strictObject({
  agent_type: z.string().min(1).default('claude_code'),
  working_dir: z.string().min(1).nullish(),
  cwd: z.string().min(1).nullish().describe('Another name for `working_dir`'),
  timeout_secs: z.number().positive().max(31_536_000).default(300),
  model: z.string().min(1).nullish(),
  extra_args: z.array(z.string()).default([]),
  env: z.record(VarName, z.string()).nullish(),
  ...nullishBox,
  os: z.string().nullish().describe('No effect'),
  client: z.string().nullish().describe('No effect'),
})
export type OldMetadata = z.infer<typeof OldMetadata>

/** `POST /api/chat`: the whole answer at once. */
export const ChatRequest = z.strictObject({
  message: AgentRunArgs.shape.prompt,
  model: z
    .string()
    .min(1)
    .nullish()
    .describe("The name of an agent, such as `claude`, means that agent's default model"),
  agent_type: z.string().min(1).nullish().describe('Default `claude_code`'),
  cwd: z.string().min(1).nullish(),
  env: z.record(VarName, z.string()).nullish(),
  ...nullishBox,
  attachments: z
    .array(z.unknown())
    .optional()
    .describe('Refused unless empty: this API passes no attachments to agents'),
})
export type ChatRequest = z.infer<typeof ChatRequest>
