import { tokenVariables } from '../../contract/token-variables.ts'

/** Variables of an environment that let whoever has them act for it. */
const OWN = [
  ...tokenVariables,
  ...['GITHUB_TOKEN', 'GH_TOKEN', 'GIT_TOKEN', 'COPILOT_GITHUB_TOKEN', 'COPILOT_PROVIDER_API_KEY'],
  ...[
    'ANTHROPIC_API_KEY',
    'ANTHROPIC_AUTH_TOKEN',
    'CLAUDE_CODE_OAUTH_TOKEN',
    'OPENAI_API_KEY',
    'CODEX_API_KEY',
  ],
  ...['OPENROUTER_API_KEY', 'OPENCODE_API_KEY', 'GEMINI_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY'],
  ...['GROQ_API_KEY', 'MISTRAL_API_KEY', 'DEEPSEEK_API_KEY', 'XAI_API_KEY'],
]

/** What no attempt that has this environment may put out, by name: keys of agents, and tokens; `token`: a runner's own. */
export function ownSecrets(env: NodeJS.ProcessEnv, token?: string): Record<string, string> {
  const found = OWN.flatMap((name) => (env[name] ? [[name, env[name]] as const] : []))
  return { ...(token === undefined ? {} : { ERRAND_TOKEN: token }), ...Object.fromEntries(found) }
}
