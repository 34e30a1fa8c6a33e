import { codex } from '../../src/agents/codex/codex.ts'
import { agentConformance } from './conformance.ts'

await agentConformance({
  agent: codex,
  // It makes the first tries of each call silently, within seconds.
  retries: { status: 500, after: 6 },
  point: (url, key) => ({
    env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key },
    // A model that is offered `apply_patch`.
    model: 'gpt-5.5',
  }),
})
