import { builtinActions } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Workflow } from '../contract/workflow.ts'
import { parseWorkflow } from '../engine/file/check.ts'
import { problemsText } from './workflow-problems.ts'
import type { WorkflowSource } from './workflow-source.ts'

/**
 * The workflow, checked, with its sub-workflow files put in; warnings are told. `hosts`: names that targets may have beside
 * those of its inventory. Throws `invalid_workflow`.
 */
export function checkedWorkflow(source: WorkflowSource, hosts?: readonly string[]): Workflow {
  const { text, file, readFile } = source
  const { workflow, problems } = parseWorkflow(text, { file, readFile, catalog: builtinActions, hosts })
  if (workflow === undefined)
    throw new ErrandError('invalid_workflow', 'The workflow has mistakes.', { details: { problems } })
  process.stderr.write(problemsText(problems, source))
  return workflow
}
