import type { AgentState } from '../contract/agent.ts'
import { localFolder } from './local-sessions.ts'

/** The agents of this machine, as this user has them. */
export async function agentsHere(): Promise<AgentState[]> {
  const [{ machineAgents }, { AgentServices }, { agentStates }, { agentsFolder }] = await Promise.all([
    import('../runner/sessions/machine-agents.ts'),
    import('../runner/sessions/agent-services.ts'),
    import('../runner/sessions/agent-states.ts'),
    import('../agents/install/native-binary.ts'),
  ])
  const { env } = process
  const options = machineAgents({ folder: agentsFolder(env), stateDir: localFolder(), allowedDirs: 'any' })
  return await agentStates(new AgentServices(options, env), env)
}
