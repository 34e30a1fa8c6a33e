import { GitCheckArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Checks whether a task can work in a repository and push to it. */
export const gitCheck: Action = { kind: 'platform', prepare: (spec) => parseArguments(GitCheckArgs, spec) }
