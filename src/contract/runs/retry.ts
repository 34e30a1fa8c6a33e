import * as z from 'zod'
import { StepPhase } from '../events.ts'
import { type Reason, RunStatus } from '../status.ts'

const stepName = z.string().min(1).max(1000)
const steps = z.array(stepName).max(1000).optional()

/** `POST /api/runs/:id/retry`: one of `only`, `from` and `step`; nothing is `only: all`. */
export const RetryRun = z.strictObject({
  only: z.enum(['all', 'failed']).optional().describe('`failed`: reuse what succeeded'),
  from: stepName
    .optional()
    .describe('Run this step and all that follow again; `outer > inner` means a step of a sub-workflow'),
  step: stepName
    .optional()
    .describe(
      'Run only this step again, and the steps that need it and did not succeed; `outer > inner` as in `from`',
    ),
  hosts: z
    .array(z.string().min(1))
    .min(1)
    .max(10_000)
    .optional()
    .describe('With `step`: only on these hosts'),
  instances: z
    .array(z.number().int().min(0))
    .min(1)
    .max(10_000)
    .optional()
    .describe('With `step`: only these instances, by their position in the retried run, from 0'),
  run_anyway: steps.describe('Treat the `when` of these steps as true'),
  skip: steps.describe('Leave out these steps; steps that need them run nevertheless'),
})
export type RetryRun = z.infer<typeof RetryRun>

/** Identifies instances of one step for a retry: by their host and the variables of their item. */
export interface InstanceKey {
  host: string
  vars?: Record<string, string>
}

/** The request that a retry records; names are those of its own main steps. */
export interface RetryMarks {
  asked: RetryRun
  run_anyway?: string[]
  skip?: string[]
  /** Main steps that stay unchanged from `retry_of`, whole or in part, without a success. */
  kept?: Record<
    string,
    {
      status: 'skipped' | 'failed' | 'canceled' | 'interrupted'
      reason?: Reason
      message?: string
      instances: (InstanceKey & {
        status: 'failed' | 'canceled' | 'interrupted'
        reason?: Reason
        message?: string
        child?: string
      })[]
    }
  >
  /** Sub-workflows that are retried instead of started again: by step, the run of each and what is requested of it. */
  children?: Record<string, (InstanceKey & { run_id: string; asked: RetryRun })[]>
}

const PlannedInstance = z.object({
  host: z.string(),
  vars: z.record(z.string(), z.string()).optional(),
  does: z.enum(['taken_over', 'again', 'kept', 'skipped']),
})

const counts = {
  taken_over: z.number().int().describe('Instances whose results are reused'),
  again: z.number().int().describe('Instances that run (again)'),
  kept: z.number().int().describe('Instances that keep their result without having succeeded'),
  skipped: z.number().int().describe('Instances of steps that are left out'),
}

export const RetryStep = z.object({
  step: z.string().describe('For a step of a sub-workflow: `outer > inner`'),
  phase: StepPhase,
  ...counts,
  conditional: z.boolean().optional().describe('Set if its `when` is evaluated again'),
  unknown: z.boolean().optional().describe('Set if the number of instances is known only once it runs'),
  run_id: z.string().optional().describe('For a sub-workflow: its run that is retried'),
  instances: z
    .array(PlannedInstance)
    .describe('At most 20 instances per step and 200 in total; instances that run come first'),
})
export type RetryStep = z.infer<typeof RetryStep>

/** `POST /api/runs/:id/retry-plan`: what a retry would take over and run, without starting it. */
export const RetryPlan = z.object({
  run_id: z.string().describe('The run that would be retried'),
  try: z.number().int().describe('Number that the new run would have in its chain'),
  ...counts,
  steps: z.array(RetryStep),
  cli: z.string().describe('The command that starts this retry'),
})
export type RetryPlan = z.infer<typeof RetryPlan>

/** A run of a chain of tries. */
export const ChainLink = z.object({
  run_id: z.string(),
  try: z.number().int(),
  status: RunStatus,
  owner: z.string(),
  created_at: z.string(),
  retry_of: z.string().optional(),
})
export type ChainLink = z.infer<typeof ChainLink>
