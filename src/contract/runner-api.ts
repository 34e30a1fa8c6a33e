import * as z from 'zod'
import { RunnerView } from './protocol.ts'

/** Requests and answers of `/api/runners`; `protocol.ts` has those with which a machine becomes a runner. */

/** A step of a run that a runner is working on. */
export const RunnerWork = z.object({
  run_id: z.string(),
  workflow_name: z.string(),
  step: z.string(),
  attempts: z.number().int().describe('How many of its instances are there'),
})
export type RunnerWork = z.infer<typeof RunnerWork>
/** A runner as a list shows it. */
export const ListedRunner = RunnerView.extend({
  doing: z
    .array(RunnerWork)
    .describe('The steps that it is running, at most 20; for a user, only steps of their own runs'),
})
export type ListedRunner = z.infer<typeof ListedRunner>
export const RunnerList = z.array(ListedRunner)
export const RunnersQuery = z.strictObject({
  status: z.string().optional().describe('One or more, separated by commas'),
  group: z.string().optional(),
  label: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('`KEY=value` or `KEY`, repeatable; all must match'),
})
export type RunnersQuery = z.infer<typeof RunnersQuery>
/** A runner with all details. */
export const RunnerDetail = RunnerView.extend({
  attempts: z
    .array(
      z.object({
        attempt_id: z.string(),
        run_id: z.string(),
        workflow_name: z.string(),
        step: z.string(),
        host: z.string(),
        owner: z.string().optional(),
      }),
    )
    .describe('Work that it was given and has not ended; for a user, only work of their own runs'),
})
export type RunnerDetail = z.infer<typeof RunnerDetail>
