import type { Agent } from './agent.ts'
import { claudeKeys, claudeLaunch } from './claude-code/launch.ts'
import { ClaudeProtocol } from './claude-code/protocol.ts'
import { findProgram } from './install/find-program.ts'
import { pins } from './install/pins.ts'

/** By its own protocol of JSON lines, which tells more than the adapter for the Agent Client Protocol (retries, costs). */
export const claudeCode: Agent = {
  name: 'claude_code',
  title: 'Claude Code',
  install: { package: pins.claude_code.package, version: pins.claude_code.version },
  keys: claudeKeys,
  usage: 'each_call',
  locate: (places) => findProgram({ name: 'claude_code', ...places }),
  launch: claudeLaunch,
  modelAt: (url, key) => ({ env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key } }),
  protocol: (request, port) => new ClaudeProtocol(request, port),
}
