import { TaskVerdictArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Ends a try of a coding task that did not succeed. */
export const taskVerdict: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(TaskVerdictArgs, spec),
}
