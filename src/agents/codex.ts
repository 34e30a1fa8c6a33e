import type { Agent } from './agent.ts'
import { codexLaunch } from './codex/launch.ts'
import { CodexProtocol } from './codex/protocol.ts'
import { findProgram } from './install/find-program.ts'
import { pins } from './install/pins.ts'

/**
 * By its app server (JSON-RPC over lines), not `codex exec`: that one has no approvals, no deltas of texts and no
 * diffs.
 */
export const codex: Agent = {
  name: 'codex',
  title: 'Codex',
  install: { package: pins.codex.package, version: pins.codex.version },
  keys: ['OPENAI_API_KEY', 'CODEX_API_KEY'],
  usage: 'each_call',
  locate: (places) => findProgram({ name: 'codex', ...places }),
  launch: codexLaunch,
  modelAt: (url, key) => ({ env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }, model: 'gpt-5.5' }),
  protocol: (request, port) => new CodexProtocol(request, port),
}
