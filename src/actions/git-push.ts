import { GitPushArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Pushes the commits that `git.carry` took out of the box as a branch of the repository. */
export const gitPush: Action = { kind: 'platform', prepare: (spec) => parseArguments(GitPushArgs, spec) }
