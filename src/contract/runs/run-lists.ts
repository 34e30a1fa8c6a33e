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
    .describe(
      'Statuses with more than 10,000 runs, which are not counted further; `total` is then a minimum',
    ),
})
export type RunCounts = z.infer<typeof RunCounts>

/** Most runs that one request changes. */
export const MOST_IN_BULK = 1000

export const BulkRuns = z.strictObject({
  action: z.enum(['cancel', 'retry', 'delete']),
  ids: z.array(RunId).min(1).max(MOST_IN_BULK).optional().describe('These runs; or give `filter`'),
  filter: Filter.optional().describe(
    'All runs that match, as in `GET /api/runs`. Cancel applies to open runs, delete to ended runs, and retry to runs that failed or were canceled or interrupted',
  ),
  only: z.enum(['all', 'failed']).default('failed').describe('For a retry, as in `POST /api/runs/:id/retry`'),
  expect: ByStatus.optional().describe(
    'How many runs of each status the person has confirmed; if there are more by now, nothing is done (409)',
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
