import { builtinActions } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Workflow } from '../contract/workflow.ts'
import { parseWorkflow } from '../engine/file/check.ts'
import type { WorkflowSource } from './workflow-source.ts'

/** The workflow, checked, with its sub-workflow files put in. Throws `invalid_workflow`. */
export function checkedWorkflow({ text, file, readFile }: WorkflowSource): Workflow {
  const { workflow, problems } = parseWorkflow(text, { file, readFile, catalog: builtinActions })
  if (workflow === undefined)
    throw new ErrandError('invalid_workflow', 'The workflow has mistakes.', { details: { problems } })
  return workflow
}
