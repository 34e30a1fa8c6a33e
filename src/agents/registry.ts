import { acp } from './acp/acp.ts'
import type { Agent, AgentInstall } from './agent.ts'
import { builtin } from './builtin/builtin.ts'
import { claudeCode } from './claude-code/claude-code.ts'
import { codex } from './codex/codex.ts'
import { copilot } from './copilot/copilot.ts'
import { opencode } from './opencode/opencode.ts'

/** Lists all agents; to add one, add its folder and a line here. */
export const agentRegistry: readonly Agent[] = [claudeCode, codex, opencode, copilot, acp, builtin]

/** Installable programs by the names of their agents. */
export const agentInstalls: Readonly<Record<string, AgentInstall>> = Object.fromEntries(
  agentRegistry.flatMap(({ name, install }) => (install ? [[name, install]] : [])),
)

/** Variables that hold a key or another secret of an agent. */
export const agentSecrets: readonly string[] = [
  ...new Set(agentRegistry.flatMap(({ keys, secrets = [] }) => [...keys, ...secrets])),
]
