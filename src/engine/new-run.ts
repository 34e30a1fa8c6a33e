import { ErrandError } from '../contract/errors.ts'
import { newRunId, RunId } from '../contract/ids.ts'
import type { RunSpec } from '../contract/run.ts'
import type { Submission } from './face.ts'
import { firstVariables } from './load.ts'
import type { Plan } from './plan.ts'

/** The origin of a run that was not submitted by itself. */
export type Started = Pick<RunSpec, 'parent' | 'retry_of' | 'rolls_back' | 'carried'>

/** A run before anything of it is kept. Throws `invalid_argument`, and as `firstVariables`. */
export function newRun(
  { workflow }: Plan,
  submission: Omit<Submission, 'yaml' | 'workflow'>,
  started: Started,
  nowMs: number,
): RunSpec {
  const run_id = RunId.safeParse(submission.run_id ?? newRunId())
  if (!run_id.success)
    throw new ErrandError(
      'invalid_argument',
      `"${submission.run_id}" is no run id: ${run_id.error.issues[0]?.message}.`,
      { hint: 'Such as deploy-42; or leave it out, and one is made.' },
    )
  return {
    run_id: run_id.data,
    blueprint: submission.blueprint ?? 'workflow',
    workflow_name: workflow.name,
    workflow,
    vars: firstVariables(workflow, submission.vars),
    owner: submission.owner ?? 'local',
    tenant: submission.tenant ?? 'default',
    created_at: new Date(nowMs).toISOString(),
    ...(submission.repository === undefined ? {} : { repository: submission.repository }),
    ...(submission.continues === undefined ? {} : { continues: submission.continues }),
    ...(submission.replaces === undefined ? {} : { replaces: submission.replaces }),
    ...started,
  }
}
