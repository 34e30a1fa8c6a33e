import type { AgentState } from '../../contract/agent.ts'
import { ChangeWatch } from '../change-watch.ts'
import type { AgentServices } from './agent-services.ts'
import { agentStates } from './agent-states.ts'

const LOOKED_EVERY_MS = 120_000

/** Tells which agents this machine has. */
export const watchAgents = (
  services: AgentServices,
  tell: (agents: AgentState[]) => void,
): ChangeWatch<AgentState[]> =>
  new ChangeWatch({ everyMs: LOOKED_EVERY_MS, look: () => agentStates(services, process.env), tell })
