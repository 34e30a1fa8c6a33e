import { builtin } from '../../src/agents/builtin/builtin.ts'
import { agentConformance } from './conformance.ts'

await agentConformance({
  agent: builtin,
  point: (url, key) => ({
    env: { OPENAI_API_KEY: key, OPENAI_BASE_URL: `${url}/v1`, ERRAND_MODEL_RETRIES: '1' },
    model: 'test-model',
  }),
})
