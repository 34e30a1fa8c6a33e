// Installs all coding agents at their pinned versions, for the tests that run them for real. Does nothing when they are there.

import { installAgents } from '../src/agents/install/install-agents.ts'
import { agentsFolder } from '../src/agents/install/native-binary.ts'
import { installableAgents } from '../src/agents/install/pins.ts'

const folder = agentsFolder(process.env)
try {
  await installAgents({ names: installableAgents, folder, log: (line) => console.log(line) })
} catch (error) {
  console.error(`error: ${(error as Error).message}`)
  process.exitCode = 1
}
