import { GitCarryArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** The change in the run's checkout comes out of its box, and is looked at. */
export const gitCarry: Action = { kind: 'platform', prepare: (spec) => parseArguments(GitCarryArgs, spec) }
