import * as z from 'zod'
import { RunId } from '../ids.ts'
import { ListRuns } from '../run.ts'
import { RunStatus } from '../status.ts'

/** `GET /api/run-counts` and `POST /api/runs/bulk`. */

const Filter = ListRuns.omit({ limit: true, cursor: true })

export const CountRuns = Filter
const ByStatus = z.partialRecord(RunStatus, z.number().int())
export const RunCounts = z.object({
  total: z.number().int(),
  by_status: ByStatus,
  more: z
    .array(RunStatus)
    .describe('Statuses of which there are more than the 10,000 that are counted; `total` is a least then'),
})
export type RunCounts = z.infer<typeof RunCounts>

/** Most runs that one request changes. */
export const MOST_IN_BULK = 1000

export const BulkRuns = z.strictObject({
  action: z.enum(['cancel', 'retry', 'delete']),
  ids: z.array(RunId).min(1).max(MOST_IN_BULK).optional().describe('These runs; or `filter`'),
  filter: Filter.optional().describe(
    'All that match, as `GET /api/runs`: to cancel, those that are open; to delete, those that have ended; to retry, those that failed, were canceled or interrupted',
  ),
  only: z.enum(['all', 'failed']).default('failed').describe('Of a retry, as `POST /api/runs/:id/retry`'),
  expect: ByStatus.optional().describe(
    'How many of each status a person has agreed to: where there are more by now, nothing is done (409)',
  ),
})
export type BulkRunsInput = z.input<typeof BulkRuns>

export const BulkDone = z.object({
  action: z.enum(['cancel', 'retry', 'delete']),
  done: z.number().int(),
  refused: z.number().int(),
  results: z.array(
    z.object({
      run_id: z.string(),
      result: z.enum(['done', 'refused']),
      new_run_id: z.string().optional().describe('The new run of a retry'),
      error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
    }),
  ),
})
export type BulkDone = z.infer<typeof BulkDone>
