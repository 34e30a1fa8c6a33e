import { claudeCode } from '../../src/agents/claude-code.ts'
import { runTurn } from '../support/model-server/script.ts'
import { agentConformance } from './conformance.ts'

agentConformance({
  agent: claudeCode,
  installFlag: '--claude-code',
  point: (url, key) => ({
    env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key },
    model: 'claude-sonnet-4-5',
  }),
  runTurn,
})
