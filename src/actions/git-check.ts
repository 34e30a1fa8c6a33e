import { GitCheckArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Whether a repository can be worked on, and pushed to. */
export const gitCheck: Action = { kind: 'platform', prepare: (spec) => parseArguments(GitCheckArgs, spec) }
