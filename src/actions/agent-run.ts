import { AgentRunArgs, Permissions } from '../contract/actions.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** A session with a coding agent. */
export const agentRun: Action = {
  kind: 'agent',
  prepare(spec) {
    const { permissions, ...args } = parseArguments(AgentRunArgs, spec)
    const whole = typeof permissions === 'string' ? Permissions.parse({ mode: permissions }) : permissions
    return { ...args, permissions: whole }
  },
}
