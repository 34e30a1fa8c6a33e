import { codex } from '../../src/agents/codex/codex.ts'
import { agentConformance } from './conformance.ts'

await agentConformance({
  agent: codex,
  // The first tries of each call it makes without a word, within seconds.
  retries: { status: 500, after: 6 },
  point: (url, key) => ({
    env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key },
    // One of those that are offered `apply_patch`.
    model: 'gpt-5.5',
  }),
})
