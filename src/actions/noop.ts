import { NoopArgs } from '../contract/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Does nothing and succeeds. */
export const noop: Action = {
  kind: 'inline',
  async run(spec) {
    parseArguments(NoopArgs, spec)
    return {}
  },
}
