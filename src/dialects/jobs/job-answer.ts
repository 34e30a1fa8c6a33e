import * as z from 'zod'
import type { ErrorCode } from '../../contract/errors.ts'
import type { Reason } from '../../contract/status.ts'

/** States of a job, as the bot runner names them; the last two are final. */
const jobStates = ['init', 'start_bot', 'stop_bot', 'get_logs', 'completed', 'failed'] as const

/** The first is not final. */
const jobStatuses = ['running', 'success', 'failure'] as const

export const JobAnswer = z.object({
  job_id: z.string(),
  blueprint: z.literal('bot_runner'),
  status: z.enum(jobStatuses).describe('`running` until it is known how it went'),
  state: z.enum(jobStates),
  data: z.record(z.string(), z.unknown()).optional(),
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().optional() })
    .optional()
    .describe('The codes are those of the API and the reasons of runs, in capitals'),
})
export type JobAnswer = z.infer<typeof JobAnswer>

/** What an error is called there: `QUOTA_EXCEEDED`. */
export const jobErrorCode = (code: ErrorCode | Reason): string => code.toUpperCase()
