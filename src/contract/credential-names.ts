/** Keys of models and forges, as agents and what they call read them. */
export const agentKeyNames: readonly string[] = [
  ...['GITHUB_TOKEN', 'GH_TOKEN', 'GIT_TOKEN', 'COPILOT_GITHUB_TOKEN', 'COPILOT_PROVIDER_API_KEY'],
  ...['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'ANTHROPIC_CUSTOM_HEADERS', 'CLAUDE_CODE_OAUTH_TOKEN'],
  ...['OPENAI_API_KEY', 'CODEX_API_KEY', 'AWS_BEARER_TOKEN_BEDROCK'],
  ...['OPENROUTER_API_KEY', 'OPENCODE_API_KEY', 'GEMINI_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY'],
  ...['GROQ_API_KEY', 'MISTRAL_API_KEY', 'DEEPSEEK_API_KEY', 'XAI_API_KEY'],
]

const agentKeys = new Set(agentKeyNames)

/** How the name of a credential ends; `KEY`, `PASS`, `PWD` and `PAT` by themselves are other things too. */
const CREDENTIAL =
  /(^|_)(API_?KEY|(ACCESS|AUTH)?TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|JWT)$|_(KEY|PASS|PWD|PAT)$|PASSWORD|PASSWD/i

/** Keys that open nothing: parts of tables, caches and queues; what is public; paths of files that hold a credential. */
const NO_CREDENTIAL =
  /(^|_)(PUBLIC|PUB|PRIMARY|FOREIGN|UNIQUE|SORT|PARTITION|SHARD|ROW|INDEX|GROUP|CACHE|ROUTING|OBJECT|IDEMPOTENCY|HOT)_KEY$|_(FILE|PATH|DIR|FOLDER|LENGTH|POLICY|PROMPT|REQUIRED|ENABLED|COMMAND)$|^GOOGLE_APPLICATION_CREDENTIALS$/i

/** Whether a variable of this name holds a credential, as far as a name can tell. */
export const isCredentialName = (name: string): boolean =>
  agentKeys.has(name) || (CREDENTIAL.test(name) && !NO_CREDENTIAL.test(name))
