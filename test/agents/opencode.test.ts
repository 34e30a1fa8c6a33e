import { opencode } from '../../src/agents/opencode/opencode.ts'
import { agentConformance } from './conformance.ts'

await agentConformance({
  agent: opencode,
  point: (url, key) => ({
    model: 'anthropic/claude-sonnet-4-5',
    env: { ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: url },
  }),
  unknownModel: 'openai/no-such-model',
})
