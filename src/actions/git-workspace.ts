import { GitWorkspaceArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** A checkout of a repository, for the run's steps to work in. */
export const gitWorkspace: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(GitWorkspaceArgs, spec),
}
