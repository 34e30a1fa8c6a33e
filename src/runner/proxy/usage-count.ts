import { type Counted, costOf, listPrices, type Prices, priceOf } from './prices.ts'
import type { LogEntry, Tokens } from './rules.ts'

/** Format of a request and its answer: Anthropic's Messages; OpenAI's Responses and Chat Completions. */
export type Api = 'messages' | 'responses' | 'chat'

type Json = Record<string, unknown>
const record = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
const records = (value: unknown): Json[] => (Array.isArray(value) ? value.map(record) : [])

/**
 * Limit for a token count, so that nonsense from a service cannot break the sum. Zero, negative and invalid values
 * count as nothing.
 */
const MOST_TOKENS = 1_000_000_000
const count = (value: unknown): number =>
  typeof value === 'number' && value > 0 ? Math.min(Math.floor(value), MOST_TOKENS) : 0

const BYTES_PER_TOKEN = 4
/** Estimates the tokens of these bytes when nobody has counted them. */
export const estimateOf = (bytes: number): number => Math.ceil(bytes / BYTES_PER_TOKEN)

/** Returns the tokens that a budget counts: uncached input and output. */
export const budgetTokens = ({ input, cache_write, output, reasoning }: Tokens): number =>
  input + cache_write + output + reasoning

/** Reads the `usage` of a Messages answer; in a stream, each one covers everything so far, and only grows. */
function messagesUsage(usage: Json, before: Counted): Counted {
  const taken = (name: string, otherwise: number) => count(usage[name]) || otherwise
  const hour = record(usage.cache_creation).ephemeral_1h_input_tokens
  return {
    input: taken('input_tokens', before.input),
    output: taken('output_tokens', before.output),
    cache_read: taken('cache_read_input_tokens', before.cache_read),
    cache_write: taken('cache_creation_input_tokens', before.cache_write),
    cache_write_hour: typeof hour === 'number' ? count(hour) : before.cache_write_hour,
    reasoning: 0,
  }
}

/** Reads the usage of OpenAI, which includes cached tokens in the input, and thinking in the output. */
function openaiUsage(usage: Json, input: string, output: string): Counted {
  const read = record(usage[`${input}_tokens_details`])
  const written = record(usage[`${output}_tokens_details`])
  const all = { in: count(usage[`${input}_tokens`]), out: count(usage[`${output}_tokens`]) }
  const cached = Math.min(count(read.cached_tokens), all.in)
  const cacheWrites = Math.min(count(read.cache_write_tokens), all.in - cached)
  const thought = count(written.reasoning_tokens)
  // Some services with OpenAI's format count thinking besides the output.
  const apart = thought > 0 && count(usage.total_tokens) >= all.in + all.out + thought
  return {
    input: all.in - cached - cacheWrites,
    output: apart ? all.out : Math.max(0, all.out - thought),
    cache_read: cached,
    cache_write: cacheWrites,
    reasoning: apart ? thought : Math.min(thought, all.out),
  }
}

const inputOf = ({ input, cache_read, cache_write }: Counted): number => input + cache_read + cache_write
const outputOf = ({ output, reasoning }: Counted): number => output + reasoning

const none: Counted = { input: 0, output: 0, cache_read: 0, cache_write: 0, reasoning: 0 }

/** Holds the part of an answer that has come so far. */
interface UsageState {
  usage: Counted | undefined
  /** Bytes of the model's text that no usage counts. */
  textBytes: number
  /** Set if the usage is the last one. */
  whole: boolean
}

const bytesOf = (...texts: unknown[]): number =>
  texts.reduce<number>((sum, text) => sum + (typeof text === 'string' ? Buffer.byteLength(text) : 0), 0)

/** Functions that each process one event of a stream. */
const events: Readonly<Record<Api, (seen: UsageState, event: Json) => void>> = {
  messages(seen, event) {
    if (event.type === 'message_start')
      seen.usage = messagesUsage(record(record(event.message).usage), seen.usage ?? none)
    else if (event.type === 'content_block_delta') {
      const { text, thinking, partial_json } = record(event.delta)
      seen.textBytes += bytesOf(text, thinking, partial_json)
    } else if (event.type === 'message_delta') {
      seen.usage = messagesUsage(record(event.usage), seen.usage ?? none)
      // Its count covers everything so far, so earlier text needs no estimate.
      if (count(record(event.usage).output_tokens) > 0) seen.textBytes = 0
      seen.whole ||= typeof record(event.delta).stop_reason === 'string'
    }
  },
  responses(seen, event) {
    const type = typeof event.type === 'string' ? event.type : ''
    const { usage, output } = record(event.response)
    if (type.endsWith('.delta')) seen.textBytes += bytesOf(event.delta)
    if (!/^response\.(completed|incomplete|failed|cancelled)$/.test(type)) return
    if (typeof usage !== 'object' || usage === null) return
    seen.usage = openaiUsage(record(usage), 'input', 'output')
    if (outputOf(seen.usage) > 0) seen.textBytes = 0
    // A service may send its answer in this event alone.
    else if (records(output).length > 0) seen.textBytes ||= Buffer.byteLength(JSON.stringify(output))
    seen.whole = true
  },
  chat(seen, event) {
    for (const { delta } of records(event.choices)) {
      const { content, reasoning_content, reasoning, refusal, tool_calls } = record(delta)
      const calls = records(tool_calls).map((call) => record(call.function).arguments)
      seen.textBytes += bytesOf(content, reasoning_content, reasoning, refusal, ...calls)
    }
    if (typeof event.usage !== 'object' || event.usage === null) return
    // Some services report it with each chunk, for everything so far; a last chunk has nothing else.
    seen.usage = openaiUsage(record(event.usage), 'prompt', 'completion')
    if (outputOf(seen.usage) > 0) seen.textBytes = 0
    seen.whole ||= records(event.choices).length === 0
  },
}

/** Reads the usage of an answer that is not a stream. */
function wholeUsage(api: Api, body: Json): Counted | undefined {
  if (typeof body.usage !== 'object' || body.usage === null) return undefined
  const usage = record(body.usage)
  if (api === 'messages') return messagesUsage(usage, none)
  return api === 'chat' ? openaiUsage(usage, 'prompt', 'completion') : openaiUsage(usage, 'input', 'output')
}

/** Limit in bytes; the last event of a Responses stream repeats the whole answer. A longer line is not read. */
const MOST_LINE_BYTES = 16 * 1024 * 1024
const MOST_BODY_BYTES = 32 * 1024 * 1024
const LF = 10

/** Counts the tokens of one answer while its bytes pass, however they are cut. */
export class AnswerCount {
  readonly #api: Api
  readonly #stream: boolean
  /** Estimate of the input, used if the answer does not get to report it. */
  readonly #estimatedInput: number
  readonly #seen: UsageState = { usage: undefined, textBytes: 0, whole: false }
  #parts: Buffer[] = []
  #partBytes = 0
  /** Bytes that were too long to read. */
  #skippedBytes = 0

  constructor(api: Api, options: { stream: boolean; estimatedInput: number }) {
    this.#api = api
    this.#stream = options.stream
    this.#estimatedInput = options.estimatedInput
  }

  push(bytes: Buffer): void {
    if (!this.#stream) {
      this.#keep(bytes, MOST_BODY_BYTES)
      return
    }
    let from = 0
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, from)) {
      this.#keep(bytes.subarray(from, at), MOST_LINE_BYTES)
      this.#line()
      from = at + 1
    }
    this.#keep(bytes.subarray(from), MOST_LINE_BYTES)
  }

  /** Returns the tokens; `whole`: the answer was complete. */
  end(whole: boolean): { tokens: Counted; estimated: boolean } {
    if (this.#stream) this.#line()
    else this.#body()
    const { usage, whole: isWhole } = this.#seen
    const uncounted = this.#seen.textBytes + this.#skippedBytes
    // A connection that is cut after its last word loses nothing.
    const hasInput = usage !== undefined && inputOf(usage) > 0
    if (hasInput && uncounted === 0 && (isWhole || whole)) return { tokens: usage, estimated: false }
    // No request is without input: a service that reports none has not counted it.
    const tokens = hasInput ? usage : { ...(usage ?? none), input: this.#estimatedInput }
    return { tokens: { ...tokens, output: tokens.output + estimateOf(uncounted) }, estimated: true }
  }

  #keep(bytes: Buffer, most: number): void {
    if (bytes.length === 0) return
    if (this.#partBytes + bytes.length > most) {
      this.#skippedBytes += bytes.length
      return
    }
    // The buffer's memory may be reused once it is sent.
    this.#parts.push(Buffer.from(bytes))
    this.#partBytes += bytes.length
  }

  #taken(): Buffer {
    const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#parts = []
    this.#partBytes = 0
    return all
  }

  #line(): void {
    if (this.#partBytes === 0) return
    const line = this.#taken().toString()
    if (!line.startsWith('data:')) return
    const data = line.slice('data:'.length).trim()
    if (data === '[DONE]') this.#seen.whole = true
    const event = parsed(data)
    if (event !== undefined) events[this.#api](this.#seen, event)
  }

  #body(): void {
    const bytes = this.#taken()
    const body = parsed(bytes.toString())
    const usage = body && wholeUsage(this.#api, body)
    if (usage === undefined || outputOf(usage) === 0) this.#seen.textBytes += bytes.length
    if (usage !== undefined) Object.assign(this.#seen, { usage, whole: true })
  }
}

function parsed(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? record(value) : undefined
  } catch {
    return undefined
  }
}

/** Sum of all requests of an endpoint. */
export interface Spent {
  tokens: Tokens
  /** Cost of the requests whose model has a price. */
  cost_usd: number
  /** Set if any of it is an estimate: a stream was cut, or the proxy ended in the middle of one. */
  estimated: boolean
  requests: number
  /** Models without a price that were used. */
  unpriced: string[]
}

/** Sums the log of an endpoint; a request without an answer counts with its input. */
export function sumLog(lines: Iterable<LogEntry>, prices: Prices = listPrices): Spent {
  const sum: Spent = { tokens: { ...none }, cost_usd: 0, estimated: false, requests: 0, unpriced: [] }
  const open = new Map<number, Extract<LogEntry, { type: 'asked' }>>()
  const add = (tokens: Tokens, model: string | undefined, cost: number | undefined) => {
    for (const name of ['input', 'output', 'cache_read', 'cache_write', 'reasoning'] as const)
      sum.tokens[name] += tokens[name]
    sum.requests++
    if (cost !== undefined) sum.cost_usd += cost
    else if (model !== undefined && budgetTokens(tokens) > 0 && !sum.unpriced.includes(model))
      sum.unpriced.push(model)
  }
  for (const line of lines)
    if (line.type === 'asked') open.set(line.id, line)
    else if (line.type === 'answered') {
      open.delete(line.id)
      add(line.tokens, line.model, line.cost_usd)
      sum.estimated ||= line.estimated === true
    }
  for (const { model, input_tokens } of open.values()) {
    const tokens = { ...none, input: input_tokens }
    const price = model === undefined ? undefined : priceOf(prices, model)
    add(tokens, model, price && costOf(price, tokens))
    sum.estimated = true
  }
  return sum
}
