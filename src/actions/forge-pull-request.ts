import { ForgePullRequestArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** The pull request of a branch that is pushed. */
export const forgePullRequest: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(ForgePullRequestArgs, spec),
}
