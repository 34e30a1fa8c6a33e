import { VarsSetArgs } from '../contract/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Exports `args.vars` to later steps. */
export const varsSet: Action = {
  kind: 'inline',
  async run(spec) {
    const { vars } = parseArguments(VarsSetArgs, spec)
    return { exports: Object.fromEntries(Object.entries(vars).map(([name, value]) => [name, String(value)])) }
  },
}
