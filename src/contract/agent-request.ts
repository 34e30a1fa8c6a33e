import * as z from 'zod'
import { AgentRunArgs } from './actions.ts'
import { StepSecrets } from './step-secrets.ts'
import { Scalar, VarName } from './workflow.ts'

const { session: _session, ...asked } = AgentRunArgs.shape

/** A request to an agent: the arguments of `agent.run`, taken as they stand (a `${` in them is no variable). */
export const AgentRequest = z.strictObject({
  ...asked,
  env: z.record(VarName, Scalar).optional().describe('Variables for the agent, such as the key of its model'),
  secrets: z.optional(StepSecrets).describe('Secrets for the agent, by variable of its environment'),
  timeout_seconds: z.number().positive().max(31_536_000).optional().describe('Longest time of the run'),
  runner: z.string().min(1).optional().describe('Id of the one runner to use'),
  group: z.string().min(1).optional().describe('Runner group to use'),
  labels: z.record(z.string(), z.string()).optional().describe('Labels the runner must have'),
})
export type AgentRequest = z.infer<typeof AgentRequest>
export type AgentRequestInput = z.input<typeof AgentRequest>

/** As the agent API took it. */
export const OldInput = z.strictObject({
  text: AgentRunArgs.shape.prompt,
  attachments: z.array(z.unknown()).optional().describe('Refused unless empty: agents are handed none'),
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
    .describe('A name of an agent, such as `claude`, stands for its own default'),
  agent_type: z.string().min(1).nullish().describe('Default `claude_code`'),
  cwd: z.string().min(1).nullish(),
  env: z.record(VarName, z.string()).nullish(),
  attachments: z.array(z.unknown()).optional().describe('Refused unless empty: agents are handed none'),
})
export type ChatRequest = z.infer<typeof ChatRequest>
