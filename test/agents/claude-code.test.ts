import { claudeCode } from '../../src/agents/claude-code/claude-code.ts'
import { agentConformance } from './conformance.ts'

await agentConformance({
  agent: claudeCode,
  point: (url, key) => ({
    // The default, seven tries of a failing service, would take half a minute per test.
    env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key, CLAUDE_CODE_MAX_RETRIES: '1' },
    model: 'claude-sonnet-4-5',
  }),
})
