import { copilot } from '../../src/agents/copilot/copilot.ts'
import { agentConformance } from './conformance.ts'

await agentConformance({
  agent: copilot,
  readsUnasked: true,
  point: (url, key) => ({
    model: 'test-model',
    env: { COPILOT_PROVIDER_API_KEY: key, COPILOT_PROVIDER_BASE_URL: `${url}/v1` },
  }),
})
