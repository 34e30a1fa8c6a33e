import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Network } from '../../contract/isolation.ts'
import { isCredentialName } from '../../contract/names.ts'
import type { Price } from './prices.ts'
import { type Edit, foldedName, JsonBody, MOST_REQUEST_BYTES } from './request-body.ts'
import { isAllowedModel, type ModelRule } from './rules.ts'
import type { Api } from './usage-count.ts'

/**
 * Status after which no agent retries, and whose message it shows. After a 403, Codex tries three more times, and
 * Copilot says that its key is wrong.
 */
export const NOT_AGAIN = 400

/** Answer to the client for a request that is not forwarded. */
export interface Refusal {
  status: number
  message: string
  /** Reason with which it is reported as refused. */
  why?: string
}

/** Path of a service that may be requested; `api`: the tokens of its answer are counted. */
export interface Route {
  path: string
  api?: Api
}

/** Returns the path at the service; undefined if such a request is not allowed. */
export function routeOf({ shape }: ModelRule, method: string, path: string): Route | undefined {
  // A service like OpenAI's has its version in its base URL; agents put it in theirs.
  const own = shape === 'openai' ? path.replace(/^\/v1(?=\/)/, '') : path
  if (method === 'GET') {
    const models = shape === 'openai' ? /^\/models(\/[\w.:@-]+)?$/ : /^\/v1\/models(\/[\w.:@-]+)?$/
    return models.test(own) && !/\/\.+$/.test(own) ? { path: own } : undefined
  }
  if (method !== 'POST') return undefined
  if (shape === 'messages')
    return own === '/v1/messages'
      ? { path: own, api: 'messages' }
      : own === '/v1/messages/count_tokens'
        ? { path: own }
        : undefined
  if (own === '/responses' || own === '/responses/compact') return { path: own, api: 'responses' }
  return own === '/chat/completions' ? { path: own, api: 'chat' } : undefined
}

export const noPath = (method: string, path: string): Refusal => ({
  status: 404,
  message: `Errand's proxy passes on only requests to models, not ${method} ${path.slice(0, 200)}.`,
  why: 'model_path',
})

/** Refuses a key in the query, which would be somebody else's. */
export function badQuery(query: string): Refusal | undefined {
  if (query === '') return undefined
  const names = [...new URLSearchParams(query).keys()]
  const odd = names.find(
    (name) =>
      isCredentialName(name.replaceAll('-', '_')) || /^(key|auth\w*|sig\w*|code|x-amz-.*)$/i.test(name),
  )
  if (/^\?[\w.~=&,:+-]*$/.test(query) && odd === undefined) return undefined
  return {
    status: 400,
    message: `Errand's proxy does not accept this query: ${odd ?? 'it contains characters that no model needs'}.`,
  }
}

/**
 * Refuses foreign keys: at least one key must be sent, and each must be the attempt's own; any other would belong to
 * another account.
 */
export function foreignKey(
  { headersDistinct }: IncomingMessage,
  { sentinel }: ModelRule,
): Refusal | undefined {
  const bearers = (headersDistinct.authorization ?? []).map(
    (value) => /^bearer +(\S+)$/i.exec(value)?.[1] ?? '',
  )
  const keys = [...bearers, ...(headersDistinct['x-api-key'] ?? []), ...(headersDistinct['api-key'] ?? [])]
  if (keys.length > 0 && keys.map((key) => isSame(key, sentinel)).every(Boolean)) return undefined
  const what = keys.length === 0 ? 'without a key' : 'with a key that is not the placeholder key of this run'
  return {
    status: 401,
    message: `Errand's proxy received a request ${what}. It inserts the real key only for the placeholder key that this run was given.`,
    why: 'foreign_key',
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
const isSame = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b))

export const tooLarge: Refusal = {
  status: 413,
  message: `Errand's proxy accepts requests of at most ${MOST_REQUEST_BYTES / 1024 / 1024} MiB.`,
}

/** Fields, by API, that limit the tokens of output. */
const limitsOf: Readonly<Record<Api, readonly string[]>> = {
  messages: ['max_tokens'],
  responses: ['max_output_tokens'],
  chat: ['max_completion_tokens', 'max_tokens'],
}
const MOST_NAME = 200

/** Fields that this module reads, and that the service must read in the same way. */
const READ = [
  ...['model', 'stream', 'stream_options', 'background', 'service_tier', 'speed', 'n', 'thinking'],
  ...['tools', 'tool_choice', 'messages', 'system', 'input', 'mcp_servers', 'web_search_options', 'plugins'],
]

export interface RequestedModel {
  json: JsonBody
  model: string | undefined
  /** Limit of tokens that it lets the model write. */
  output: number | undefined
  /** Changes that keep the request within its network. */
  edits: Edit[]
}

export function readRequestedModel(
  bytes: Buffer,
  { headers }: IncomingMessage,
  rule: ModelRule,
  { api }: Route,
  network: Network,
): RequestedModel | Refusal {
  const bad = (message: string): Refusal => ({ status: 400, message: `Errand's proxy: ${message}.` })
  if ((headers['content-encoding'] ?? 'identity') !== 'identity')
    return bad('the body must not be compressed')
  const json = JsonBody.read(bytes)
  if ('wrong' in json) return bad(json.wrong)
  const limits = api === undefined ? [] : limitsOf[api]
  const odd = [...READ, ...limits].find((name) => json.hasOtherSpelling(name))
  if (odd !== undefined) return bad(`the body spells the field "${odd}" differently`)
  const model = typeof json.value.model === 'string' ? json.value.model : undefined
  // The name is in each report of the request.
  if (model !== undefined && model.length > MOST_NAME) return bad('the name of the model is too long')
  if (rule.models !== undefined && (model === undefined || !isAllowedModel(rule.models, model)))
    return {
      status: NOT_AGAIN,
      message: `${model === undefined ? 'A request without a model' : `The model "${model}"`} is not allowed in this run. Allowed models: ${rule.models.join(', ')}.`,
      why: 'model_not_allowed',
    }
  // Its tokens would be used after its answer, unseen.
  if (
    json.value.background !== undefined &&
    json.value.background !== false &&
    json.value.background !== null
  )
    return bad('background answers cannot be counted, so they are not allowed')
  const counts = [...limits, 'n'].map((name) => json.value[name] ?? undefined)
  if (counts.some((value) => value !== undefined && typeof value !== 'number'))
    return bad(`${limits.join(', ')} and n must be numbers`)
  const within = withinNetwork(json, network)
  if ('status' in within) return within
  const numbers = counts.slice(0, -1).filter((value) => typeof value === 'number')
  // Some services take -1 for no limit.
  const isLimited = numbers.length > 0 && numbers.every((value) => value >= 0)
  const output = isLimited ? Math.max(...numbers) * answersOf(json) : undefined
  return { json, model, output, edits: within.edits }
}

/** Returns how many answers it requests at once. */
const answersOf = ({ value: { n } }: JsonBody): number => (typeof n === 'number' && n > 1 ? n : 1)

export function noPrice(
  json: JsonBody,
  model: string | undefined,
  price: Price | undefined,
): Refusal | undefined {
  const name = model === undefined ? 'A request without a model' : `The model "${model}"`
  if (price === undefined)
    return {
      status: NOT_AGAIN,
      message: `${name} has no known price, so the run's cost budget cannot be enforced. Set a price in ERRAND_MODEL_PRICES, or use a token budget.`,
    }
  const tier = [json.value.service_tier, json.value.speed].find(
    (each) =>
      each !== undefined &&
      each !== null &&
      !/^(auto|default|standard|standard_only|flex)$/.test(String(each)),
  )
  return tier === undefined
    ? undefined
    : {
        status: NOT_AGAIN,
        message: `The price of the tier "${String(tier).slice(0, 50)}" is not known, so the run's cost budget cannot be enforced.`,
      }
}

/** Returns the changes of a request: a stream reports its usage, and writes no more than is left of a budget. */
export function editsOf(json: JsonBody, api: Api, output: number | undefined): Edit[] {
  const { value } = json
  const edits: Edit[] = []
  if (output !== undefined)
    for (const name of limitsOf[api]) {
      const field = value[name]
      const least = { messages: thinkingTokens(value.thinking) + 1, responses: 16, chat: 1 }[api]
      const most = Math.max(Math.floor(output / answersOf(json)), least)
      if (typeof field === 'number' && field > most) edits.push({ name, value: most })
    }
  if (api === 'chat' && value.stream === true) {
    const options = value.stream_options
    const known = typeof options === 'object' && options !== null ? options : {}
    if (!('include_usage' in known) || known.include_usage !== true)
      edits.push({ name: 'stream_options', value: { ...known, include_usage: true } })
  }
  return edits
}

/** Returns the tokens for thinking: a service refuses an answer limit below that, or below 16 tokens. */
function thinkingTokens(thinking: unknown): number {
  const budget = (thinking as { budget_tokens?: unknown } | undefined)?.budget_tokens
  return typeof budget === 'number' ? budget : 0
}

/**
 * Matches tools that a service runs itself and that reach others; the names of an agent's own tools are not checked.
 */
const REACHING = /^(web_|mcp|browser|code_interpreter|connector)/
const REACHING_FIELDS = ['server_url', 'connector_id', 'network_policy']
/** Matches models that search by themselves. */
const SEARCHING = /:online\b|-search-(preview|api)\b|-deep-research\b/
/** Other fields that tell a service where to go. */
const ELSEWHERE = ['mcp_servers', 'web_search_options', 'plugins']

type Json = Record<string, unknown>
const isRecord = (value: unknown): value is Json => typeof value === 'object' && value !== null
const recordsIn = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isRecord) : [])

/**
 * Keeps a request within its network. A service that searches the web or fetches a picture for its client is a way out
 * of a box, past the network of its run. Unless that network is open to every host, tools that reach others are removed
 * (agents offer them unasked), and a request that is about nothing else is refused.
 */
function withinNetwork({ value }: JsonBody, network: Network): { edits: Edit[] } | Refusal {
  if (network === 'all') return { edits: [] }
  const tools = recordsIn(value.tools)
  const allowed = tools.filter((tool) => !reaches(tool))
  const field = ELSEWHERE.find((name) => isRecord(value[name]) && Object.keys(value[name]).length > 0)
  const what =
    field ??
    (tools.length > 0 && allowed.length === 0 ? String(tools[0]!.type).slice(0, 50) : undefined) ??
    (SEARCHING.test(String(value.model)) ? String(value.model) : undefined) ??
    (isRecord(value.tool_choice) && reaches(value.tool_choice) ? 'tool_choice' : undefined) ??
    (requestsAddress(value) ? 'the address of a file or picture' : undefined)
  if (what !== undefined)
    return {
      status: NOT_AGAIN,
      message: `The network of this run does not allow the model service to contact other hosts for it (${what}).`,
      why: 'service_reaches_out',
    }
  const edits: Edit[] = allowed.length === tools.length ? [] : [{ name: 'tools', value: allowed }]
  // Some models get their tools in the conversation.
  const items = recordsIn(value.input)
  if (items.some(({ tools: offered }) => recordsIn(offered).some(reaches)))
    edits.push({ name: 'input', value: items.map(withoutReaching) })
  return { edits }
}

const withoutReaching = (item: Json): Json =>
  Array.isArray(item.tools)
    ? { ...item, tools: recordsIn(item.tools).filter((tool) => !reaches(tool)) }
    : item

const reaches = (tool: Json): boolean =>
  Object.entries(tool).some(([key, value]) => {
    const name = foldedName(key)
    if (name === 'type') return typeof value === 'string' && REACHING.test(value)
    if (name === 'container' || name === 'environment') return isRecord(value) && reaches(value)
    return REACHING_FIELDS.includes(name) || (name === 'tools' && recordsIn(value).some(reaches))
  })

const ADDRESS = /^\s*https?:/i
/** Reports whether the conversation contains an address that the service would fetch. */
function requestsAddress({ system, messages, input }: Json): boolean {
  const named = (part: Json): boolean => {
    const { source, image_url, file_url, file } = part
    const places = [
      ...(isRecord(source) && source.type === 'url' ? [source.url] : []),
      ...[image_url, file_url, ...[image_url, file].filter(isRecord).flatMap(Object.values)],
    ]
    if (places.some((place) => typeof place === 'string' && ADDRESS.test(place))) return true
    return [part.content, part.output].some((inner) => recordsIn(inner).some(named))
  }
  return [system, messages, input].some((list) => recordsIn(list).some(named))
}
