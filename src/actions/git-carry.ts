import { GitCarryArgs } from '../contract/tasks/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Takes the change in the run's checkout out of its box and inspects it. */
export const gitCarry: Action = { kind: 'platform', prepare: (spec) => parseArguments(GitCarryArgs, spec) }
