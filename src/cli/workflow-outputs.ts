import { builtinActions, DEFAULT_MAX_OUTPUT_BYTES } from '../contract/actions.ts'
import type { Workflow } from '../contract/workflow.ts'

/** Where the whole output of the steps goes that name no folder of their own. The workflow is changed. */
export function setOutputPath(workflow: Workflow, folder: string): Workflow {
  for (const step of [...workflow.steps, ...(workflow.finally ?? [])]) {
    const args = builtinActions[step.action]?.args
    if (args !== undefined && 'shape' in args && Object.hasOwn(args.shape as object, 'output_path')) {
      step.args.output_path ??= folder
    }
    if (step.action === 'workflow.run') setOutputPath(step.args.workflow as Workflow, folder)
  }
  return workflow
}

/** How much of a step's output is shown; `within`: the steps that lead to its sub-workflow. */
export function shownBytes(workflow: unknown): (step: string, within: readonly string[]) => number {
  const known = new Map<string, ReadonlyMap<string, number>>()
  return (step, within) => {
    const path = JSON.stringify(within)
    const limits = known.get(path) ?? limitsOf(within.reduce(subWorkflow, workflow))
    known.set(path, limits)
    return limits.get(step) ?? DEFAULT_MAX_OUTPUT_BYTES
  }
}

const subWorkflow = (workflow: unknown, step: string): unknown =>
  stepsOf(workflow).find(({ name }) => name === step)?.args.workflow

const limitsOf = (workflow: unknown) => new Map(stepsOf(workflow).map((step) => [step.name, limitOf(step)]))

/** The most that is shown of a stream of any step, those of sub-workflows too. */
export function mostShownBytes(workflow: unknown): number {
  const all = stepsOf(workflow).map((step) =>
    step.args.workflow === undefined ? limitOf(step) : mostShownBytes(step.args.workflow),
  )
  return all.reduce((most, one) => Math.max(most, one), DEFAULT_MAX_OUTPUT_BYTES)
}

function stepsOf(workflow: unknown): Workflow['steps'] {
  const { steps = [], finally: last = [] } = (workflow ?? {}) as Partial<Workflow>
  return [...steps, ...last]
}

const limitOf = ({ args }: Workflow['steps'][number]): number =>
  typeof args.max_output_bytes === 'number' ? args.max_output_bytes : DEFAULT_MAX_OUTPUT_BYTES
