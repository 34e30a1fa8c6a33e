import * as z from 'zod'
import { type ListRuns, RunSummary } from './run.ts'
import { RunStatus } from './status.ts'
import { Problem } from './validate-api.ts'

/** Requests and answers of `/api/runs` that do not already stand in `run.ts`. */

const time = z.string().describe('RFC 3339, UTC')

export const RunCreated = RunSummary.extend({
  warnings: z.array(Problem).optional().describe('What the check of its workflow warns of'),
})
export type RunCreated = z.infer<typeof RunCreated>
export const RunList = z.object({ runs: z.array(RunSummary), next_cursor: z.string().optional() })
export type RunList = z.infer<typeof RunList>
export type ListRunsInput = z.input<typeof ListRuns>

/** What a run was made of. */
export const RunWorkflow = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  workflow: z.unknown().describe('The validated workflow, with every default filled in'),
  vars: z.record(z.string(), z.string()),
})
export type RunWorkflow = z.infer<typeof RunWorkflow>

export const CancelRun = z.strictObject({
  message: z.string().max(2000).optional(),
  force: z.boolean().default(false).describe('Also ends `finally` steps at once'),
})
export type CancelRunInput = z.input<typeof CancelRun>
export const RetryRun = z.strictObject({
  only: z.enum(['all', 'failed']).default('all').describe('`failed` takes over what succeeded'),
})
export type RetryRunInput = z.input<typeof RetryRun>
export const AnswerApproval = z.strictObject({
  step: z.string().min(1),
  comment: z.string().max(2000).optional(),
})
export type AnswerApproval = z.infer<typeof AnswerApproval>
export const Accepted = z.object({ run_id: z.string(), status: RunStatus })
export type Accepted = z.infer<typeof Accepted>

/** What `DELETE /api/runs/:id` took away: the run, and the runs that it had started. */
export const RunsDeleted = z.object({ deleted: z.array(z.string()) })
export type RunsDeleted = z.infer<typeof RunsDeleted>

/** `GET /run-status`, as the workflow runner answers it. */
export const RunStatusView = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  status: RunStatus,
  step: z.string().optional().describe('The step that runs, or the one that failed'),
  host: z.string().optional(),
  error: z.string().optional(),
  started_at: time.optional(),
  finished_at: time.optional(),
  last_notify_error: z.string().optional(),
})
export type RunStatusView = z.infer<typeof RunStatusView>
