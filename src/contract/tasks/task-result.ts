import * as z from 'zod'
import { Reason } from '../status.ts'

/** The result of a task, in the shape that older systems read. */

/** The stages at which a task can fail, as older runners' error classes name them. */
export const ResultStage = z.enum([
  'context',
  'workspace',
  'implementation',
  'test',
  'security',
  'push',
  'artifact_upload',
  'timeout',
  'resources',
  'other',
])
export type ResultStage = z.infer<typeof ResultStage>

export const TaskResult = z.object({
  success: z.boolean().describe('The task is done, waits to be merged, or needed no change'),
  error: z
    .object({ stage: ResultStage, reason: z.optional(Reason), message: z.string().optional() })
    .optional(),
  artifacts: z.array(
    z.object({ type: z.string(), uri: z.string(), size_bytes: z.number(), name: z.string().optional() }),
  ),
  duration_seconds: z.number().describe('Duration of all tries'),
  memory_mb: z.number().optional().describe('Peak memory of one of its steps'),
  cpu_percent: z.number().optional().describe('Average over all tries; 100 is one core'),
  llm_model: z.string().optional(),
  tokens_used: z.number().int().optional(),
})
export type TaskResult = z.infer<typeof TaskResult>
