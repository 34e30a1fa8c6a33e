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

/** How much of a step's output is shown. */
export function shownBytes(workflow: unknown): (step: string) => number {
  const { steps = [], finally: last = [] } = (workflow ?? {}) as Partial<Workflow>
  const limits = new Map<string, number>()
  for (const { name, args } of [...steps, ...last]) {
    if (typeof args?.max_output_bytes === 'number') limits.set(name, args.max_output_bytes)
  }
  return (step) => limits.get(step) ?? DEFAULT_MAX_OUTPUT_BYTES
}

/** The most that is shown of a stream of any step. */
export function mostShownBytes(workflow: unknown): number {
  const { steps = [], finally: last = [] } = (workflow ?? {}) as Partial<Workflow>
  const shown = shownBytes(workflow)
  return Math.max(DEFAULT_MAX_OUTPUT_BYTES, ...[...steps, ...last].map(({ name }) => shown(name)))
}
