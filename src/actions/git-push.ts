import { GitPushArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** The commits that were carried out become a branch of the repository. */
export const gitPush: Action = { kind: 'platform', prepare: (spec) => parseArguments(GitPushArgs, spec) }
