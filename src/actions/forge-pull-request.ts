import { ForgePullRequestArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Opens or updates the pull request of a pushed branch. */
export const forgePullRequest: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(ForgePullRequestArgs, spec),
}
