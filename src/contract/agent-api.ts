import * as z from 'zod'
import { AgentState, AttemptInput, DeniedUses, Usage } from './agent.ts'

/** What agents are told while they work, what a chat is answered, and which agents there are. */

const time = z.string().describe('RFC 3339, UTC')

/** `POST /api/runs/:id/input`: exactly one of the first four. */
export const RunInput = z.strictObject({
  prompt: z
    .string()
    .min(1)
    .optional()
    .describe('A follow-up; for a run that has ended it begins one that goes on'),
  permission: z
    .strictObject({ request_id: z.string().min(1), decision: z.enum(['allow', 'deny']) })
    .optional()
    .describe('Answers a question of the agent'),
  cancel_turn: z.literal(true).optional().describe('Ends what the agent is at, not the session'),
  close: z.literal(true).optional().describe('No more prompts will come: the run ends when it is idle'),
  input_id: AttemptInput.options[0].shape.input_id
    .min(1)
    .max(200)
    .optional()
    .describe('The same id again changes nothing'),
  step: z.string().min(1).optional().describe('Where several steps of the run take inputs'),
  interactive: z
    .boolean()
    .optional()
    .describe(
      'With a prompt for a run that has ended: whether the new one waits for more (default: as that did)',
    ),
})
export type RunInput = z.infer<typeof RunInput>
export const InputAccepted = z.object({
  run_id: z.string().describe('The run that has it: a new one, where the given run had ended'),
  input_id: z.string(),
  continues: z.string().optional().describe('Set for a new run: the one whose session it goes on with'),
})
export type InputAccepted = z.infer<typeof InputAccepted>

/** The answer of `POST /api/chat`. */
export const ChatAnswer = z.object({
  run_id: z.string(),
  message: z.string(),
  usage: Usage.optional().describe('Absent where the agent tells none'),
  denied: DeniedUses.optional().describe('Uses of tools that the agent was denied'),
  role: z.literal('assistant'),
  content: z.string().describe('As `message`'),
  timestamp: time,
})
export type ChatAnswer = z.infer<typeof ChatAnswer>

/** An agent, as the connected runners have it. */
export const AgentHealth = AgentState.extend({
  available: z.boolean().describe('As `usable`'),
  error: z.string().optional().describe('As `why`'),
  runners: z
    .array(
      z.object({
        id: z.string(),
        version: z.string().optional(),
        usable: z.boolean(),
        why: z.string().optional(),
      }),
    )
    .optional()
    .describe('With a token: each runner that knows it'),
})
export type AgentHealth = z.infer<typeof AgentHealth>
/** `GET /health/agents`, by the agents' names. */
export const AgentsHealth = z.object({ agents: z.record(z.string(), AgentHealth) })
export type AgentsHealth = z.infer<typeof AgentsHealth>
