import { join } from 'node:path'
import { checkedOnce } from '../../agents/ask-check/checked-once.ts'
import { agentRegistry } from '../../agents/registry.ts'
import type { AgentsOptions } from './agent-services.ts'

/** All agents that Errand knows, on this machine. `stateDir` holds their sessions. */
export function machineAgents(options: {
  folder: string
  stateDir: string
  allowedDirs: AgentsOptions['allowedDirs']
}): AgentsOptions {
  const { folder, stateDir, allowedDirs } = options
  return {
    known: agentRegistry,
    folder,
    sessionsDir: join(stateDir, 'sessions'),
    allowedDirs,
    asks: checkedOnce(join(stateDir, 'ask-checks.json')),
  }
}
