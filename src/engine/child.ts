import { WorkflowRunArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { EventOf } from '../contract/events.ts'
import type { RunSpec } from '../contract/run.ts'
import { fillArgs } from './file/template.ts'
import { instanceOf } from './find-in-state.ts'
import { instanceEnv } from './lookup.ts'
import { type Plan, plannedStep } from './plan.ts'
import type { RunState } from './state.ts'

/** How deep sub-workflows may stand in one another. */
const MAX_DEPTH = 10

/** A sub-workflow, and the instance that waits for it. */
export type ChildStart = Pick<EventOf<'child.started'>, 'step' | 'phase' | 'instance' | 'run_id'>

/** A run with sub-workflows, as far as they are its. */
export interface ParentRun {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  childFinished(end: Omit<EventOf<'child.finished'>, 'seq' | 'time' | 'type'>): Promise<void>
  /** Whether it has asked for the end of a child, and whether by force; undefined: it has not. */
  canceledChild(runId: string): boolean | undefined
}

/** The submission that a sub-workflow is started with. Throws for inputs that do not work out and for too deep a nesting. */
export function childSubmission({ plan, state, spec }: ParentRun, child: ChildStart) {
  const depth = (spec.parent?.depth ?? 0) + 1
  if (depth > MAX_DEPTH)
    throw new ErrandError(
      'invalid_workflow',
      `Sub-workflows stand more than ${MAX_DEPTH} deep in one another.`,
      { hint: 'Flatten them, or see whether one runs itself.' },
    )
  const planned = plannedStep(plan, child.phase, child.step)
  const { instance } = instanceOf(state, child)
  const { lookup } = instanceEnv(plan, state, { run_id: spec.run_id }, planned, instance)
  const { workflow, inputs } = WorkflowRunArgs.parse(fillArgs(planned.step.args, planned.raw, lookup))
  if (!workflow)
    throw new ErrandError('invalid_workflow', `Step "${child.step}" names a file that was not read.`, {
      hint: 'Write the workflow itself under args.workflow, or submit with the CLI, which puts the file in.',
    })
  return { workflow, vars: inputs, depth }
}

/** The children that a run waits for, as they were started. */
export function openChildren(state: RunState): ChildStart[] {
  const children: ChildStart[] = []
  for (const step of [...state.main, ...state.rollback, ...state.finally])
    for (const [instance, { child, status }] of step?.instances.entries() ?? [])
      if (step && child && status === 'waiting')
        children.push({ step: step.name, phase: step.phase, instance, run_id: child })
  return children
}
