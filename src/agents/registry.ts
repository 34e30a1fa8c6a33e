import { ErrandError } from '../contract/errors.ts'
import { acp } from './acp.ts'
import type { Agent } from './agent.ts'
import { claudeCode } from './claude-code.ts'
import { codex } from './codex.ts'
import { copilot } from './copilot.ts'
import { opencode } from './opencode.ts'

/** All agents there are; a new one is its file and a line here. */
export const agentRegistry: readonly Agent[] = [claudeCode, codex, opencode, copilot, acp]

/** Throws `invalid_argument` with the names of those there are. */
export function agentNamed(name: string, agents: readonly Agent[] = agentRegistry): Agent {
  const agent = agents.find((each) => each.name === name)
  if (agent !== undefined) return agent
  const known = agents.map((each) => each.name).join(', ')
  throw new ErrandError('invalid_argument', `There is no agent "${name}".`, { hint: `There are: ${known}.` })
}
