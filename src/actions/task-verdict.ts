import { TaskVerdictArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** The end of a try that is no success. */
export const taskVerdict: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(TaskVerdictArgs, spec),
}
