import { acp } from './acp.ts'
import type { Agent } from './agent.ts'
import { builtin } from './builtin/builtin.ts'
import { claudeCode } from './claude-code.ts'
import { codex } from './codex.ts'
import { copilot } from './copilot.ts'
import { opencode } from './opencode.ts'

/** All agents there are; a new one is its file and a line here. */
export const agentRegistry: readonly Agent[] = [claudeCode, codex, opencode, copilot, acp, builtin]
