import { NoopArgs } from '../contract/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Does nothing. */
export const noop: Action = {
  kind: 'inline',
  async run(spec) {
    parseArguments(NoopArgs, spec)
    return {}
  },
}
