import type { ModelService } from './agent.ts'

/** Anthropic's service, with the variables of its own programs; Claude Code prefers `ANTHROPIC_AUTH_TOKEN`. */
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

/** Returns a service whose API is like OpenAI's. */
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
/** Returns OpenAI's service, with a selectable organization and project; `keys` names the variables for its key. */
export const openaiWith = (keys: readonly string[]): ModelService => ({
  ...openaiLike('openai', { keys, url: 'OPENAI_BASE_URL' }, OPENAI_URL),
  account: { 'openai-organization': 'OPENAI_ORG_ID', 'openai-project': 'OPENAI_PROJECT_ID' },
})
export const openaiService: ModelService = openaiWith(['OPENAI_API_KEY'])
