import { GitWorkspaceArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Prepares a checkout of a repository in which the run's steps work. */
export const gitWorkspace: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(GitWorkspaceArgs, spec),
}
