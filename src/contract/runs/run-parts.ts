import * as z from 'zod'
import { StepPhase } from '../events.ts'
import { InstanceView } from '../run.ts'
import { RunStatus, StepStatus } from '../status.ts'

/** `GET /api/runs/:id` */
export const RunViewQuery = z.strictObject({
  instances: z.coerce
    .number()
    .int()
    .min(0)
    .max(10_000)
    .optional()
    .describe('Most instances per step; failed ones come first. Default: all'),
})

/** `GET /api/runs/:id/steps/:step/instances` */
export const InstancesPath = z.object({
  id: z.string().describe('The run'),
  step: z.string().describe('The name of the step'),
})
export const InstancesQuery = z.strictObject({
  phase: StepPhase.default('main'),
  status: z.string().optional().describe('One or more, separated by commas'),
  text: z
    .string()
    .max(200)
    .optional()
    .describe('Text in the host, a value of the item or the message, in any case'),
  host: z.string().max(1000).optional().describe('Only instances on this host'),
  index: z.coerce.number().int().min(0).optional().describe('Only the instance at this position'),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().optional(),
})
export type InstancesInput = z.input<typeof InstancesQuery>

export const InstancePage = z.object({
  run_id: z.string(),
  step: z.string(),
  phase: StepPhase,
  total: z.number().int().describe('Number of all instances of the step'),
  counts: z
    .partialRecord(StepStatus, z.number().int())
    .describe('Number of instances that `text` finds, by status'),
  instances: z.array(InstanceView.required({ index: true })),
  next_cursor: z.string().optional(),
})
export type InstancePage = z.infer<typeof InstancePage>

/** `GET /api/runs/:id/steps/:step/overview` */
export const OverviewQuery = z.strictObject({ phase: StepPhase.default('main') })
const Millis = z.number().int().min(0)
export const StepOverview = z.object({
  run_id: z.string(),
  step: z.string(),
  phase: StepPhase,
  total: z.number().int().describe('Number of all instances of the step'),
  instances: z
    .string()
    .describe(
      'One letter per instance, in order: d done, f failed, r running, a ahead, k skipped, w waits, i interrupted, c canceled',
    ),
  waited_ms: Millis.describe('Total time that their attempts waited for a machine'),
  by_status: z
    .partialRecord(
      StepStatus,
      z.object({
        count: z.number().int(),
        median_ms: Millis.optional().describe('Median duration'),
        longest_ms: Millis.optional(),
        began_at: z.string().optional().describe('When the first of them began'),
        ended: z
          .array(z.number().int())
          .optional()
          .describe(
            'How many ended in each of sixty equal periods between the start of the step and its end, or now',
          ),
      }),
    )
    .describe('Instances by status; only statuses that occur'),
  until: z.string().optional().describe('End of the last period'),
})
export type StepOverview = z.infer<typeof StepOverview>

/** `GET /api/runs/:id/last-good` */
export const LastGood = z.object({
  run: z
    .object({
      run_id: z.string(),
      created_at: z.string(),
      started_at: z.string().optional(),
      finished_at: z.string().optional(),
      status: RunStatus,
      vars: z.record(z.string(), z.string()),
      outputs: z.record(z.string(), z.string()).optional(),
      steps: z.array(
        z.object({
          step: z.string(),
          phase: StepPhase,
          status: StepStatus,
          duration_ms: z
            .number()
            .optional()
            .describe('Time from its start to its end; absent if it did not run'),
          instances: z.number().int(),
          exports: z
            .record(z.string(), z.string())
            .optional()
            .describe('Variables as later steps saw them; values of more than 2000 characters are cut'),
        }),
      ),
    })
    .optional()
    .describe('Absent if there is none'),
})
export type LastGood = z.infer<typeof LastGood>

/** `GET /api/runs/:id/outline` */
const OutlineStep = z.object({
  name: z.string(),
  needs: z.array(z.string()).optional(),
  when: z.string().optional().describe('Its condition, as written'),
  foreach: z.string().optional().describe('Where its items come from, if the file does not list them'),
  rollback: z.boolean().optional().describe('Whether it has a rollback'),
})
export const RunOutline = z.object({
  run_id: z.string(),
  steps: z.array(OutlineStep),
  finally: z.array(OutlineStep).optional(),
})
export type RunOutline = z.infer<typeof RunOutline>
