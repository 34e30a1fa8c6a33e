import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { isCredentialName } from '../../contract/names.ts'
import { FairSemaphore } from '../../platform/fair-semaphore.ts'
import { createMasker, type Masker } from '../masking/masker.ts'
import { ModelBudget } from './model-budget.ts'
import { answerHeaders, requestHeaders } from './model-headers.ts'
import {
  badQuery,
  editsOf,
  foreignKey,
  NOT_AGAIN,
  noPath,
  noPrice,
  type Refusal,
  type Route,
  readRequestedModel,
  routeOf,
  tooLarge,
} from './model-request.ts'
import { type Counted, costOf, listPrices, type Price, type Prices, priceOf } from './prices.ts'
import { readBody } from './request-body.ts'
import type { EndpointRules, LogEntry, ModelRule } from './rules.ts'
import { REFUSED, Upstream } from './upstream.ts'
import { AnswerCount, type Api, budgetTokens, estimateOf, sumLog } from './usage-count.ts'

/**
 * Number of consecutive failures after which each request waits a while: the log of an endpoint must not fill a disk.
 */
const FAILURES_AT_ONCE = 100
const PAUSE_MS = 1000

/** Limit for bodies of one endpoint in memory at once; a client that sends slowly holds up only this endpoint. */
const BODIES_AT_ONCE = 4

type Append = (line: LogEntry) => void

export interface ModelProxyOptions {
  /** Log of this endpoint so far. */
  log?: readonly LogEntry[]
  prices?: Prices
  /** Waits after repeated failures. */
  pause?(signal: AbortSignal): Promise<unknown>
}

const shortPause = (signal: AbortSignal): Promise<unknown> =>
  sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined)

/** Provides the model services of one endpoint: adds the key, counts tokens and enforces the budget. */
export class ModelProxy {
  readonly #prices: Prices
  readonly #budget: ModelBudget
  readonly #upstream = new Upstream()
  readonly #slots = new FairSemaphore(BODIES_AT_ONCE)
  readonly #closed = new AbortController()
  readonly #refusals: Refusals
  readonly #underWay = new Set<Promise<void>>()
  readonly #maskers = new Map<string, Masker>()
  readonly #pause: (signal: AbortSignal) => Promise<unknown>
  #lastId: number
  #failures = 0
  #reportedOver = ''

  constructor({ log = [], prices = listPrices, pause = shortPause }: ModelProxyOptions = {}) {
    this.#pause = pause
    const { tokens, cost_usd } = sumLog(log, prices)
    this.#prices = prices
    this.#budget = new ModelBudget({ tokens: budgetTokens(tokens), cost: cost_usd })
    this.#refusals = new Refusals(log)
    this.#lastId = log.reduce((last, line) => ('id' in line ? Math.max(last, line.id) : last), 0)
  }

  /** Answers a request by its unmodified path (`/model/<name>/…`). Never rejects. */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    rules: EndpointRules,
    append: Append,
  ): Promise<void> {
    const handled = this.#handle(request, response, rules, append)
    this.#underWay.add(handled)
    await handled
    this.#underWay.delete(handled)
  }

  /** Aborts what is in progress; resolves once that is reported. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.#refusals.close()
    await Promise.all(this.#underWay)
    this.#upstream.close()
  }

  async #handle(
    request: IncomingMessage,
    response: ServerResponse,
    rules: EndpointRules,
    append: Append,
  ): Promise<void> {
    request.on('error', () => {}) // Its client has gone: `close` of the response reports that.
    response.on('error', () => {})
    const gone = new AbortController()
    const cut = () => response.destroy()
    response.once('close', () => gone.abort())
    this.#closed.signal.addEventListener('abort', cut, { once: true })
    try {
      if (this.#closed.signal.aborted) cut()
      else await this.#answer(request, response, rules, append, gone.signal)
    } catch {
      cut()
    } finally {
      this.#closed.signal.removeEventListener('abort', cut)
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    rules: EndpointRules,
    append: Append,
    gone: AbortSignal,
  ): Promise<void> {
    const { method = '', url = '' } = request
    const [, name, rest = '', query = ''] =
      /^\/model\/([a-z0-9-]{1,64})(\/[^?#]*)?(\?[^#]*)?$/.exec(url) ?? []
    // Some agents first check whether anybody is there.
    if (method === 'HEAD' && (url === '/' || rest === '' || rest === '/'))
      return void response.writeHead(200).end()
    const rule = rules.models.find((each) => each.name === name)
    if (rule === undefined) {
      const names = rules.models.map((each) => each.name)
      const there = names.length === 0 ? 'There are none' : `Available: ${names.join(', ')}`
      return refuse(request, response, undefined, {
        status: 404,
        message: `Errand's proxy has no model service by that name. ${there}.`,
      })
    }
    const route = routeOf(rule, method, rest)
    const refusal =
      foreignKey(request, rule) ?? (route === undefined ? noPath(method, rest) : badQuery(query))
    if (refusal !== undefined || route === undefined) {
      if (refusal?.why !== undefined) this.#refusals.log(append, rule, refusal.why)
      return refuse(request, response, rule, refusal!)
    }
    const where = { request, response, rule, rules, append, gone }
    const call = method === 'GET' ? undefined : await this.#readRequest(where, route)
    if (method === 'GET') request.resume()
    else if (call === undefined) return
    await this.#forward({ ...where, path: route.path + query }, call)
  }

  /**
   * Reads and checks a request, and waits until it may go; undefined if it is answered already, or its client is gone.
   */
  async #readRequest(where: Where, route: Route): Promise<ModelCall | undefined> {
    const { request, response, rule, rules, append, gone } = where
    using _turn = await this.#slots.acquire('')
    if (gone.aborted) return undefined
    if (this.#failures >= FAILURES_AT_ONCE) await this.#pause(gone)
    const bytes = await readBody(request)
    const read =
      bytes === undefined ? tooLarge : readRequestedModel(bytes, request, rule, route, rules.network)
    if ('status' in read) {
      if (read.why !== undefined) this.#refusals.log(append, rule, read.why)
      refuse(request, response, rule, read)
      return undefined
    }
    const { json, model, output, edits } = read
    const price = model === undefined ? undefined : priceOf(this.#prices, model)
    const estimate = { api: route.api, model, price, input: estimateOf(json.bytes.length) }
    if (route.api === undefined) return { ...estimate, body: json.with(edits), done: () => {} }
    const unpriced = rules.budget.cost_usd === undefined ? undefined : noPrice(json, model, price)
    if (unpriced !== undefined) {
      refuse(request, response, rule, unpriced)
      return undefined
    }
    const leave = await this.#budget.enter(rules.budget, { input: estimate.input, output, price }, gone)
    if (leave.type === 'gone') return undefined
    if (leave.type === 'refused') {
      if (this.#reportedOver !== leave.message) append({ type: 'over_budget', message: leave.message })
      this.#reportedOver = leave.message
      refuse(request, response, rule, { status: NOT_AGAIN, message: leave.message })
      return undefined
    }
    return {
      ...estimate,
      body: json.with([...edits, ...editsOf(json, route.api, leave.output)]),
      done: leave.done,
    }
  }

  async #forward(where: Where & { path: string }, call: ModelCall | undefined): Promise<void> {
    const { request, response, rule, append, gone, path } = where
    const { method = '' } = request
    const id = ++this.#lastId
    const counts = call?.api !== undefined
    const named = { id, service: rule.name, ...(call?.model === undefined ? {} : { model: call.model }) }
    // What was sent may have been read, and so be charged.
    let end: Ended = { status: GONE, tokens: { ...none, input: call?.input ?? 0 }, estimated: true }
    try {
      if (counts) append({ type: 'asked', ...named, input_tokens: call.input })
      const headers = requestHeaders(request.headers, rule)
      end = await this.#pass(where, call, { method, path, headers, body: call?.body })
    } finally {
      const { status, tokens, estimated, rest } = end
      call?.done(tokens)
      if (counts) this.#failures = status >= 400 ? this.#failures + 1 : 0
      const { cache_write_hour: _, ...counted } = tokens
      const cost = call?.price === undefined ? {} : { cost_usd: costOf(call.price, tokens) }
      const guess = estimated ? { estimated } : {}
      if (counts) append({ type: 'answered', ...named, status, tokens: counted, ...cost, ...guess })
      if (gone.aborted) response.destroy()
      else if (rest !== undefined) response.end(rest)
    }
  }

  async #pass(
    { request, response, rule, rules, append, gone }: Where,
    call: ModelCall | undefined,
    sent: { method: string; path: string; headers: Record<string, string>; body?: Buffer },
  ): Promise<Ended> {
    const masker = this.#masker(rule)
    const unanswered: Counted = { ...none, input: call?.input ?? 0 }
    let answer: IncomingMessage
    try {
      answer = await this.#upstream.send(rule, rules, sent, gone)
    } catch (error) {
      if (gone.aborted) return { status: GONE, tokens: unanswered, estimated: true }
      const { code, message, why } = error as NodeJS.ErrnoException & { why?: string }
      if (why !== undefined) this.#refusals.log(append, rule, why)
      refuse(request, response, rule, {
        status: code === REFUSED ? NOT_AGAIN : 502,
        message: masker.maskText(
          `Errand's proxy cannot reach ${new URL(rule.upstream).host}: ${message || code}`,
        ),
      })
      return NEVER_SENT.test(code ?? '')
        ? { status: 502, tokens: none, estimated: false }
        : { status: 502, tokens: unanswered, estimated: true }
    }
    const { statusCode: status = 502, headers } = answer
    const encoding = headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity') {
      answer.destroy()
      const message = `Errand's proxy asked ${new URL(rule.upstream).host} for an uncompressed answer but got one in ${masker.maskText(encoding)}.`
      refuse(request, response, rule, { status: 502, message })
      return { status: 502, tokens: unanswered, estimated: true }
    }
    response.writeHead(
      status,
      answerHeaders(answer, (text) => masker.maskText(text)),
    )
    response.flushHeaders()
    const stream = /^text\/event-stream\b/i.test(headers['content-type'] ?? '')
    const counter =
      call?.api === undefined || status >= 400
        ? undefined
        : new AnswerCount(call.api, { stream, estimatedInput: call.input })
    const { whole, rest } = await passOn(answer, response, masker, (bytes) => counter?.push(bytes))
    const counted = counter?.end(whole) ?? { tokens: none, estimated: false }
    return { status, ...counted, rest }
  }

  #masker(rule: ModelRule): Masker {
    const secrets = [
      rule.key,
      ...Object.entries(rule.headers)
        .filter(([name]) => isCredentialName(name.replaceAll('-', '_')) || /authorization|cookie/i.test(name))
        .flatMap(([, value]) => [value, value.replace(/^(bearer|basic) +/i, '')]),
    ]
    const key = secrets.join('\n')
    const known = this.#maskers.get(key)
    if (known !== undefined) return known
    const masker = createMasker(secrets)
    this.#maskers.set(key, masker)
    return masker
  }
}

interface Where {
  request: IncomingMessage
  response: ServerResponse
  rule: ModelRule
  rules: EndpointRules
  append: Append
  gone: AbortSignal
}

interface ModelCall {
  api: Api | undefined
  model: string | undefined
  price: Price | undefined
  /** Tokens, estimated. */
  input: number
  body: Buffer
  /** Returns the reserved amount to the budget. */
  done(tokens: Counted): void
}

interface Ended {
  status: number
  tokens: Counted
  estimated: boolean
  /** Last bytes of the answer, sent once it is reported: whoever has all of it finds it counted. */
  rest?: Buffer
}

const none: Counted = { input: 0, output: 0, cache_read: 0, cache_write: 0, reasoning: 0 }
/** Status that some servers log for a client that did not wait. */
const GONE = 499
/** Matches errors where the connection was never made. */
const NEVER_SENT =
  /^(ERR_REFUSED|ERR_PROXY|EPROTO|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_)/

/** Forwards an answer as fast as the client takes it; returns whether the answer was complete, and the rest to send. */
function passOn(
  answer: IncomingMessage,
  response: ServerResponse,
  masker: Masker,
  seen: (bytes: Buffer) => void,
): Promise<{ whole: boolean; rest: Buffer }> {
  const masked = masker.stream()
  return new Promise((resolve) => {
    const goOn = () => void answer.resume()
    const write = (bytes: Buffer) => {
      if (bytes.length > 0 && !response.write(bytes)) answer.pause()
    }
    let isOver = false
    const over = (whole: boolean) => {
      if (isOver) return
      isOver = true
      answer.removeAllListeners('data')
      response.off('drain', goOn).off('close', cut)
      // The client sees the answer break off too.
      if (!whole) response.destroy()
      resolve({ whole, rest: masked.end() })
    }
    const cut = () => {
      answer.destroy()
      over(false)
    }
    response.on('drain', goOn).once('close', cut)
    answer.on('data', (bytes: Buffer) => {
      seen(bytes)
      write(masked.push(bytes))
    })
    answer.once('end', () => over(answer.complete))
    answer.once('error', () => over(false))
    answer.once('close', () => over(answer.complete))
  })
}

/** Names that the services themselves use. */
const kinds: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
}

/** Answers in the service's format, so that an agent recognizes it. */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  rule: ModelRule | undefined,
  { status, message }: Refusal,
): void {
  if (response.headersSent || response.destroyed) return void response.destroy()
  const type = kinds[status] ?? 'api_error'
  const body =
    rule?.shape === 'openai'
      ? { error: { message, type, param: null, code: type } }
      : { type: 'error', error: { type, message } }
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    // Some libraries check this before they retry.
    ...(status < 500 ? { 'x-should-retry': 'false' } : {}),
  })
  response.write(text)
  afterRequest(request, () => response.end())
}

/**
 * Calls `then` once the request has arrived completely: a client may not read while it sends, and would find its
 * connection cut.
 */
function afterRequest(request: IncomingMessage, then: () => void): void {
  if (request.complete || request.destroyed) {
    then()
    return
  }
  let bytes = 0
  request.on('data', (part: Buffer) => {
    bytes += part.length
    if (bytes > MOST_DRAINED_BYTES) request.destroy()
  })
  request.once('end', then).once('close', then).resume()
}
const MOST_DRAINED_BYTES = 256 * 1024 * 1024

const MOST_LINES = 200
const LINE_EVERY_MS = 1000

/** Joins refusals: one line a second for each service and reason, and no more than 200 in total. */
class Refusals {
  readonly #open = new Map<string, { count: number; timer: NodeJS.Timeout }>()
  #lines: number

  constructor(log: readonly LogEntry[]) {
    this.#lines = log.filter(({ type }) => type === 'refused').length
  }

  log(append: Append, rule: ModelRule, why: string): void {
    const key = `${rule.name} ${why}`
    const open = this.#open.get(key)
    if (open !== undefined) return void open.count++
    const line = (count: number) => {
      if (count > 0 && this.#lines++ < MOST_LINES)
        append({ type: 'refused', host: rule.name, port: 0, why, count })
    }
    line(1)
    const entry = {
      count: 0,
      timer: setTimeout(() => {
        this.#open.delete(key)
        line(entry.count)
      }, LINE_EVERY_MS).unref(),
    }
    this.#open.set(key, entry)
  }

  close(): void {
    for (const { timer } of this.#open.values()) clearTimeout(timer)
    this.#open.clear()
  }
}
