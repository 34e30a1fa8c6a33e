// Installs all coding agents at their pinned versions, for tests with the real programs. Does nothing if they exist.

import { installAgents } from '../src/agents/install/install-agents.ts'
import { agentsFolder } from '../src/agents/install/native-binary.ts'
import { agentInstalls } from '../src/agents/registry.ts'

const folder = agentsFolder(process.env)
try {
  const names = Object.keys(agentInstalls)
  await installAgents({ names, installs: agentInstalls, folder, log: (line) => console.log(line) })
} catch (error) {
  console.error(`error: ${(error as Error).message}`)
  process.exitCode = 1
}
