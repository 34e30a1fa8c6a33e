import type { Agent, AgentInstall } from './agent.ts'
import { claudeKeys, claudeLaunch } from './claude-code/launch.ts'
import { ClaudeProtocol } from './claude-code/protocol.ts'
import { findProgram } from './install/find-program.ts'
import { withMusl } from './install/native-binary.ts'

const install: AgentInstall = {
  package: '@anthropic-ai/claude-code',
  version: '2.1.329',
  program: 'claude',
  natives: (machine) =>
    withMusl(machine, `@anthropic-ai/claude-code-${machine.platform}-${machine.arch}`).map(
      (name) => `${name}/claude`,
    ),
  megabytes: 370,
}

/** By its own protocol of JSON lines, which tells more than the adapter for the Agent Client Protocol (retries, costs). */
export const claudeCode: Agent = {
  name: 'claude_code',
  title: 'Claude Code',
  install,
  keys: claudeKeys,
  secrets: ['ANTHROPIC_CUSTOM_HEADERS', 'AWS_BEARER_TOKEN_BEDROCK'],
  settings: ['ANTHROPIC_BASE_URL', 'ANTHROPIC_MODEL', 'CLAUDE_CONFIG_DIR'],
  usage: 'each_call',
  locate: (places) => findProgram({ name: 'claude_code', install, ...places }),
  launch: claudeLaunch,
  modelAt: (url, key) => ({ env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key } }),
  protocol: (request, port) => new ClaudeProtocol(request, port),
}
