import * as z from 'zod'
import { StreamName } from './attempt.ts'
import { RunEvent } from './events.ts'
import { RunId } from './ids.ts'

/** How a run's log and output are read. */

export const EventsQuery = z.object({
  after: z.coerce.number().int().min(0).optional().describe('Only events with a greater `seq`'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000).describe('For JSON only'),
  output_bytes: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('Of each stream of an attempt only so many bytes come as text; default: all'),
  access_token: z.string().optional(),
})
export const EventList = z.array(RunEvent)

export const OutputPath = z.object({ id: RunId, number: z.coerce.number().int().min(1), stream: StreamName })
