import * as z from 'zod'
import { StepPhase } from '../events.ts'
import { type Reason, RunStatus } from '../status.ts'

const stepName = z.string().min(1).max(1000)
const steps = z.array(stepName).max(1000).optional()

/** `POST /api/runs/:id/retry`: one of `only`, `from` and `step`; nothing is `only: all`. */
export const RetryRun = z.strictObject({
  only: z.enum(['all', 'failed']).optional().describe('`failed` takes over what succeeded'),
  from: stepName
    .optional()
    .describe('This step and all that follow run again; `outer > inner` means one of a sub-workflow'),
  step: stepName
    .optional()
    .describe('This step alone, and what needs it and did not succeed; `outer > inner` as in `from`'),
  hosts: z.array(z.string().min(1)).min(1).max(10_000).optional().describe('Of `step`: only on these'),
  instances: z
    .array(z.number().int().min(0))
    .min(1)
    .max(10_000)
    .optional()
    .describe('Of `step`: only these, by their position in the run that is retried, from 0'),
  run_anyway: steps.describe('The `when` of these steps counts as true'),
  skip: steps.describe('These steps are left out; what needs them runs all the same'),
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
  taken_over: z.number().int().describe('Instances taken over as done'),
  again: z.number().int().describe('Instances that run (again)'),
  kept: z.number().int().describe('Instances that stay as they ended, without a success'),
  skipped: z.number().int().describe('Instances of steps that are left out'),
}

export const RetryStep = z.object({
  step: z.string().describe('Of a sub-workflow: `outer > inner`'),
  phase: StepPhase,
  ...counts,
  conditional: z.boolean().optional().describe('Set where its `when` is asked once more'),
  unknown: z.boolean().optional().describe('Set where only the run will tell how many instances it has'),
  run_id: z.string().optional().describe('Of a sub-workflow: its run that is retried'),
  instances: z.array(PlannedInstance).describe('The first 20 of each step, those that run first; 200 in all'),
})
export type RetryStep = z.infer<typeof RetryStep>

/** `POST /api/runs/:id/retry-plan`: what a retry would take over and run, without starting it. */
export const RetryPlan = z.object({
  run_id: z.string().describe('The run that would be retried'),
  try: z.number().int().describe('The number that the new run would have in its chain'),
  ...counts,
  steps: z.array(RetryStep),
  cli: z.string().describe('The command that begins it'),
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
