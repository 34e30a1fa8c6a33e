import * as z from 'zod'
import type { SessionRequest } from '../agent.ts'

const count = z.coerce.number().int()

/** What the environment of the step may set. */
const environment = z.object({
  OPENAI_API_KEY: z.string().optional(),
  OPENAI_BASE_URL: z.url({ protocol: /^https?$/ }).optional(),
  OPENAI_ORG_ID: z.string().optional(),
  OPENAI_PROJECT_ID: z.string().optional(),
  ERRAND_MODEL: z.string().min(1).default('gpt-4.1'),
  // What Node's fetch itself gives a server to go on is 300 s.
  ERRAND_MODEL_TIMEOUT_SECONDS: z.coerce.number().positive().max(300).default(120),
  ERRAND_MODEL_RETRIES: count.min(0).max(20).default(3),
  ERRAND_MODEL_MAX_TOKENS: count.positive().optional(),
  ERRAND_MODEL_CONTEXT_CHARS: count.min(1000).default(400_000),
})

export interface Settings {
  model: string
  apiKey: string
  /** Absent: OpenAI's. */
  baseUrl?: string
  organization?: string
  project?: string
  /** How long the service may say nothing. */
  timeoutMs: number
  /** Tries of a request after the first. */
  retries: number
  maxTokens?: number
  /** Of the whole conversation; past it old outputs of tools are shortened. */
  contextChars: number
}

/** The settings, or what is wrong with them. */
export function settingsOf(request: SessionRequest): Settings | { wrong: string } {
  // An empty variable is as good as none.
  const set = Object.fromEntries(Object.entries(request.env).filter(([, value]) => value !== ''))
  const { success, data, error } = environment.safeParse(set)
  if (!success) {
    const wrong = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    return { wrong: `The environment of the built-in agent is wrong: ${wrong.join('; ')}.` }
  }
  // A service of one's own may ask for no key.
  const apiKey = data.OPENAI_API_KEY ?? (data.OPENAI_BASE_URL === undefined ? undefined : 'none')
  if (apiKey === undefined) {
    const own = 'or OPENAI_BASE_URL for a service that needs none'
    return { wrong: `The built-in agent has no key for its model. Set OPENAI_API_KEY, ${own}.` }
  }
  return {
    model: request.model ?? data.ERRAND_MODEL,
    apiKey,
    baseUrl: data.OPENAI_BASE_URL,
    organization: data.OPENAI_ORG_ID,
    project: data.OPENAI_PROJECT_ID,
    timeoutMs: data.ERRAND_MODEL_TIMEOUT_SECONDS * 1000,
    retries: data.ERRAND_MODEL_RETRIES,
    maxTokens: data.ERRAND_MODEL_MAX_TOKENS,
    contextChars: data.ERRAND_MODEL_CONTEXT_CHARS,
  }
}
