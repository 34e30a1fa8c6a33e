import * as z from 'zod'

/** Requests and answers of `/jobs`, as the bot runner's clients know them. */

export const JobRequest = z.object({
  blueprint: z.string().describe('`bot_runner`'),
  data: z.record(z.string(), z.unknown()).describe('`action` and its arguments'),
})
export type JobRequest = z.infer<typeof JobRequest>

/** States of a job, as the bot runner names them; the last two are final. */
const jobStates = ['init', 'start_bot', 'stop_bot', 'get_logs', 'completed', 'failed'] as const

/** Statuses of a job; the first is not final. */
const jobStatuses = ['running', 'success', 'failure'] as const

export const JobAnswer = z.object({
  job_id: z.string(),
  blueprint: z.literal('bot_runner'),
  status: z.enum(jobStatuses).describe('`running` until the result is known'),
  state: z.enum(jobStates),
  data: z.record(z.string(), z.unknown()).optional(),
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().optional() })
    .optional()
    .describe('Codes are the error codes of the API and the reasons of runs, in capitals'),
})
export type JobAnswer = z.infer<typeof JobAnswer>

/** The answer for a refused job. */
export const JobRefused = JobAnswer.pick({ status: true, error: true })
export type JobRefused = z.infer<typeof JobRefused>
