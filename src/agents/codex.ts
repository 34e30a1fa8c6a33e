import type { Agent, AgentInstall } from './agent.ts'
import { codexLaunch } from './codex/launch.ts'
import { CodexProtocol } from './codex/protocol.ts'
import { findProgram } from './install/find-program.ts'

const install: AgentInstall = {
  package: '@openai/codex',
  version: '0.169.0',
  program: 'codex',
  natives: ({ platform, arch }) => {
    const processor = arch === 'arm64' ? 'aarch64' : 'x86_64'
    const system = platform === 'linux' ? 'unknown-linux-musl' : 'apple-darwin'
    return [`@openai/codex-${platform}-${arch}/vendor/${processor}-${system}/bin/codex`]
  },
  megabytes: 410,
}

/**
 * By its app server (JSON-RPC over lines), not `codex exec`: that one has no approvals, no deltas of texts and no
 * diffs.
 */
export const codex: Agent = {
  name: 'codex',
  title: 'Codex',
  install,
  keys: ['OPENAI_API_KEY', 'CODEX_API_KEY'],
  settings: ['OPENAI_BASE_URL', 'CODEX_HOME'],
  usage: 'each_call',
  locate: (places) => findProgram({ name: 'codex', install, ...places }),
  launch: codexLaunch,
  modelAt: (url, key) => ({ env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }, model: 'gpt-5.5' }),
  protocol: (request, port) => new CodexProtocol(request, port),
}
