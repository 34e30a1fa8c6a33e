import type { ModelService } from './agent.ts'

/** By Anthropic's own programs; `ANTHROPIC_AUTH_TOKEN` is what Claude Code takes before all others. */
export const anthropicService: ModelService = {
  name: 'anthropic',
  shape: 'messages',
  keys: [
    { variable: 'ANTHROPIC_AUTH_TOKEN', header: 'bearer', begins: 'sk-ant-api03-errand-' },
    { variable: 'ANTHROPIC_API_KEY', header: 'x-api-key', begins: 'sk-ant-api03-errand-' },
    { variable: 'CLAUDE_CODE_OAUTH_TOKEN', header: 'bearer', begins: 'sk-ant-oat01-errand-' },
  ],
  url: 'ANTHROPIC_BASE_URL',
  defaultUrl: 'https://api.anthropic.com',
  headers: 'ANTHROPIC_CUSTOM_HEADERS',
}

/** One that speaks like OpenAI's. */
export const openaiLike = (
  name: string,
  variables: { keys: readonly string[]; url: string },
  defaultUrl?: string,
): ModelService => ({
  name,
  shape: 'openai',
  keys: variables.keys.map((variable) => ({ variable, header: 'bearer', begins: 'sk-errand-' })),
  url: variables.url,
  defaultUrl,
})

export const OPENAI_URL = 'https://api.openai.com/v1'
/** OpenAI's own, for which an organization and a project can be chosen; `keys`: the variables of its key. */
export const openaiWith = (keys: readonly string[]): ModelService => ({
  ...openaiLike('openai', { keys, url: 'OPENAI_BASE_URL' }, OPENAI_URL),
  account: { 'openai-organization': 'OPENAI_ORG_ID', 'openai-project': 'OPENAI_PROJECT_ID' },
})
export const openaiService: ModelService = openaiWith(['OPENAI_API_KEY'])
