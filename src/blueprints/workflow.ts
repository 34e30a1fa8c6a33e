import { ErrandError } from '../contract/errors.ts'
import type { CreateRun } from '../contract/run.ts'

/** A run of a workflow that the caller has written. Throws `bad_request`. */
export function workflowRun({ yaml, workflow, vars }: Pick<CreateRun, 'yaml' | 'workflow' | 'vars'>) {
  if ((yaml === undefined) === (workflow === undefined))
    throw new ErrandError('bad_request', 'body: exactly one of "yaml" and "workflow" is needed.', {
      hint: 'Put the text of the file into "yaml", or the same as JSON into "workflow".',
    })
  return { blueprint: 'workflow', yaml, workflow, vars }
}
