import { AgentRunArgs, Permissions } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import { jsonOf } from '../platform/text.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Runs a session with a coding agent. */
export const agentRun: Action = {
  kind: 'agent',
  prepare(spec) {
    const { permissions, verify, verify_list, ...args } = parseArguments(AgentRunArgs, spec)
    const whole = typeof permissions === 'string' ? Permissions.parse({ mode: permissions }) : permissions
    return { ...args, verify: [...verify, ...commandsOf(verify_list)], permissions: whole }
  },
}

/** Returns the commands of a JSON list, or none for an empty text. Throws `invalid_argument`. */
function commandsOf(list: string | undefined): string[] {
  if (list === undefined || list === '') return []
  const value = jsonOf(list)
  if (Array.isArray(value) && value.every((each) => typeof each === 'string' && each !== '')) return value
  throw new ErrandError('invalid_argument', 'args.verify_list: is not a list of commands.', {
    hint: 'Write it as a JSON list, such as ["npm test"].',
  })
}
