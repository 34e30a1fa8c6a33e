import { type Counted, costOf, listPrices, type Prices, priceOf } from './prices.ts'
import type { Tokens, Told } from './rules.ts'

/** How a request and its answer look: Anthropic's Messages; OpenAI's Responses and Chat Completions. */
export type Api = 'messages' | 'responses' | 'chat'

type Json = Record<string, unknown>
const record = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
const records = (value: unknown): Json[] => (Array.isArray(value) ? value.map(record) : [])

/** A service that answers nonsense must not make a sum that is no number. What is zero, negative or no number counts nothing. */
const MOST_TOKENS = 1_000_000_000
const count = (value: unknown): number =>
  typeof value === 'number' && value > 0 ? Math.min(Math.floor(value), MOST_TOKENS) : 0

const BYTES_PER_TOKEN = 4
/** Tokens of so many bytes, where nobody has counted them. */
export const estimateOf = (bytes: number): number => Math.ceil(bytes / BYTES_PER_TOKEN)

/** Tokens that a budget counts: those read anew and those written. */
export const budgetTokens = ({ input, cache_write, output, reasoning }: Tokens): number =>
  input + cache_write + output + reasoning

/** The `usage` of a Messages answer; in a stream each one stands for the whole until then, which only grows. */
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

/** OpenAI counts what was cached within the input, and what was thought within the output. */
function openaiUsage(usage: Json, input: string, output: string): Counted {
  const read = record(usage[`${input}_tokens_details`])
  const written = record(usage[`${output}_tokens_details`])
  const all = { in: count(usage[`${input}_tokens`]), out: count(usage[`${output}_tokens`]) }
  const cached = Math.min(count(read.cached_tokens), all.in)
  const kept = Math.min(count(read.cache_write_tokens), all.in - cached)
  const thought = count(written.reasoning_tokens)
  // Some services that speak like OpenAI's count them beside the output.
  const apart = thought > 0 && count(usage.total_tokens) >= all.in + all.out + thought
  return {
    input: all.in - cached - kept,
    output: apart ? all.out : Math.max(0, all.out - thought),
    cache_read: cached,
    cache_write: kept,
    reasoning: apart ? thought : Math.min(thought, all.out),
  }
}

const inputOf = ({ input, cache_read, cache_write }: Counted): number => input + cache_read + cache_write
const outputOf = ({ output, reasoning }: Counted): number => output + reasoning

const none: Counted = { input: 0, output: 0, cache_read: 0, cache_write: 0, reasoning: 0 }

/** The part of an answer that has come so far. */
interface Seen {
  usage: Counted | undefined
  /** Bytes of texts of the model that no usage counts. */
  textBytes: number
  /** The usage is the last one. */
  whole: boolean
}

const bytesOf = (...texts: unknown[]): number =>
  texts.reduce<number>((sum, text) => sum + (typeof text === 'string' ? Buffer.byteLength(text) : 0), 0)

/** Each takes in one event of a stream. */
const events: Readonly<Record<Api, (seen: Seen, event: Json) => void>> = {
  messages(seen, event) {
    if (event.type === 'message_start')
      seen.usage = messagesUsage(record(record(event.message).usage), seen.usage ?? none)
    else if (event.type === 'content_block_delta') {
      const { text, thinking, partial_json } = record(event.delta)
      seen.textBytes += bytesOf(text, thinking, partial_json)
    } else if (event.type === 'message_delta') {
      seen.usage = messagesUsage(record(event.usage), seen.usage ?? none)
      // Its count is of all until now; what was written before it is no more to be estimated.
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
    // Some tell it with each chunk, of all until then; a last one has nothing else.
    seen.usage = openaiUsage(record(event.usage), 'prompt', 'completion')
    if (outputOf(seen.usage) > 0) seen.textBytes = 0
    seen.whole ||= records(event.choices).length === 0
  },
}

/** Of an answer that is no stream. */
function wholeUsage(api: Api, body: Json): Counted | undefined {
  if (typeof body.usage !== 'object' || body.usage === null) return undefined
  const usage = record(body.usage)
  if (api === 'messages') return messagesUsage(usage, none)
  return api === 'chat' ? openaiUsage(usage, 'prompt', 'completion') : openaiUsage(usage, 'input', 'output')
}

/** The last event of a Responses stream holds the whole answer once more. A longer line is not read. */
const MOST_LINE_BYTES = 16 * 1024 * 1024
const MOST_BODY_BYTES = 32 * 1024 * 1024
const LF = 10

/** Counts the tokens of one answer while its bytes pass by, however they are cut. */
export class AnswerCount {
  readonly #api: Api
  readonly #stream: boolean
  /** Of the input, where the answer does not come to telling it. */
  readonly #estimatedInput: number
  readonly #seen: Seen = { usage: undefined, textBytes: 0, whole: false }
  #parts: Buffer[] = []
  #partBytes = 0
  /** Of what was not read, for it was too long. */
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

  /** The tokens; `whole`: the answer has come to its end. */
  end(whole: boolean): { tokens: Counted; estimated: boolean } {
    if (this.#stream) this.#line()
    else this.#body()
    const { usage, whole: told } = this.#seen
    const uncounted = this.#seen.textBytes + this.#skippedBytes
    // A connection that is cut after its last word takes nothing away.
    const hasInput = usage !== undefined && inputOf(usage) > 0
    if (hasInput && uncounted === 0 && (told || whole)) return { tokens: usage, estimated: false }
    // No request is without input: a service that says so has not counted it.
    const tokens = hasInput ? usage : { ...(usage ?? none), input: this.#estimatedInput }
    return { tokens: { ...tokens, output: tokens.output + estimateOf(uncounted) }, estimated: true }
  }

  #keep(bytes: Buffer, most: number): void {
    if (bytes.length === 0) return
    if (this.#partBytes + bytes.length > most) {
      this.#skippedBytes += bytes.length
      return
    }
    // The buffer's memory may be used again once it is sent.
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

/** The sum of all requests of a door. */
export interface Spent {
  tokens: Tokens
  /** Of the requests whose model has a price. */
  cost_usd: number
  /** Some of it is an estimate: a stream was cut, or the proxy was ended in the middle of one. */
  estimated: boolean
  requests: number
  /** Models without a price that were used. */
  unpriced: string[]
}

/** Sums what a proxy has told of a door; a request that was never answered counts as far as it was asked. */
export function sumTold(lines: Iterable<Told>, prices: Prices = listPrices): Spent {
  const sum: Spent = { tokens: { ...none }, cost_usd: 0, estimated: false, requests: 0, unpriced: [] }
  const open = new Map<number, Extract<Told, { type: 'asked' }>>()
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
