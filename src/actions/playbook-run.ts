import { PlaybookRunArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Runs the commands of a playbook. */
export const playbookRun: Action = {
  kind: 'platform',
  prepare: (spec) => parseArguments(PlaybookRunArgs, spec),
}
