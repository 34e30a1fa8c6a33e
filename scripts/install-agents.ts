// Installs all coding agents at their pinned versions, for the tests that run them for real. Does nothing when they are there.

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
