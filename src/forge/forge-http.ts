import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { ErrandError, type ErrorCode, messageOf } from '../contract/errors.ts'
import { Backoff } from '../platform/time.ts'
import type { TokenSource } from './token-source.ts'

/**
 * Most bytes of an answer. A page from GitHub can hold a hundred comments of 64 KiB, GitLab accepts a text of 1 MiB,
 * and Gitea sends all comments of an issue at once.
 */
const MOST_BYTES = 16 * 1024 * 1024
const MOST_PAGES = 10
const MOST_WORDS_BYTES = 64 * 1024
const MOST_LOG_BYTES = 64 * 1024 * 1024
/** Wait that GitHub recommends for its secondary rate limit if the answer does not give one. */
const SECONDARY_WAIT_MS = 60_000

export interface ForgeHttpOptions {
  /** Name of the forge in messages, such as "GitHub at github.com". */
  name: string
  /** URL of the API, without a slash at its end. */
  apiUrl: string
  tokens: TokenSource
  /** Returns the value of the `authorization` header for a token. */
  authorization(token: string): string
  /** Retries after the first try if the forge is away; default 3. */
  retryCount?: number
  /** Milliseconds that one request may take; default 30,000. */
  timeoutMs?: number
  /** Longest total wait that the forge may ask for; a longer one throws `forge_busy`. Default one hour. */
  mostWaitMs?: number
  /** Called with each wait that the forge asks for, in milliseconds. */
  onWait?(waitMs: number): void
  wait?(ms: number, signal: AbortSignal | undefined): Promise<unknown>
  fetch?: typeof globalThis.fetch
}

export interface Sent {
  query?: Record<string, string | number | undefined>
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
  /** Name of what a 404 reports as missing, such as "issue 12"; default the repository. */
  missing?: string
  /** Error code for a 403; default `forge_denied`. */
  denied?: ErrorCode
  /** Whether the request may be sent again although it may have arrived; default true except for POST. */
  isRepeatable?: boolean
  /** Whether a list longer than Errand reads throws an error. */
  isWhole?: boolean
  /** Whether a list does not tell if more pages follow, so that an empty page is its end (Gitea's timeline). */
  isUncounted?: boolean
}

export interface Answer<T> {
  status: number
  headers: Headers
  data: T
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Is thrown for a request that changes something and may have arrived: the caller checks before sending it again. */
export class PerhapsArrived extends Error {
  readonly problem: ErrandError

  constructor(problem: ErrandError) {
    super(problem.message, { cause: problem })
    this.name = 'PerhapsArrived'
    this.problem = problem
  }
}

/**
 * Is thrown for an error status that waiting does not change. `words` is the forge's own message, without the token.
 */
export class Refused extends ErrandError {
  readonly httpStatus: number
  readonly words: string

  constructor(code: ErrorCode, message: string, hint: string, httpStatus: number, words: string) {
    super(code, message, { hint })
    this.httpStatus = httpStatus
    this.words = words
  }
}

/**
 * Sends requests to one forge's API. Puts the token in its header only, limits size and time, waits when the forge asks
 * for it, and retries while the forge is away. Never follows a redirect with the token, and follows pages only within
 * the same API.
 */
export class ForgeHttp {
  readonly #options: ForgeHttpOptions
  readonly #wait: NonNullable<ForgeHttpOptions['wait']>
  readonly #fetch: typeof globalThis.fetch
  /** Tokens that were sent; they are masked in messages. */
  readonly #tokens = new Set<string>()

  constructor(options: ForgeHttpOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? globalThis.fetch
    this.#wait = options.wait ?? ((ms, signal) => sleep(ms, undefined, { signal }))
  }

  get tokens(): TokenSource {
    return this.#options.tokens
  }

  /** URL of GitHub's GraphQL API, next to the REST API. */
  get graphqlUrl(): string {
    return `${this.#options.apiUrl.replace(/\/v3$/, '')}/graphql`
  }

  /**
   * Sends a request and parses its answer. Throws `Refused` for a 4xx, `PerhapsArrived` if it broke off and may not
   * repeat.
   */
  async json<T>(schema: z.ZodType<T>, method: Method, path: string, sent: Sent = {}): Promise<Answer<T>> {
    const url = this.#url(path, sent.query)
    return await this.#patiently(method, url, sent, async (response) => {
      if (response.status === 304) return { status: 304, headers: response.headers, data: undefined as T }
      const text = await bounded(response, MOST_BYTES, () => this.#garbage(url, 'is longer than 16 MiB'))
      return { status: response.status, headers: response.headers, data: this.#parsed(schema, text, url) }
    })
  }

  /** Returns all pages of a list, up to about 1,000 entries. */
  async pages<T>(schema: z.ZodType<T[]>, path: string, sent: Sent = {}): Promise<T[]> {
    const all: T[] = []
    let next: string | undefined = path
    let query = sent.query
    for (let page = 1; next !== undefined && page <= MOST_PAGES; page++) {
      const answer: Answer<T[] | null> = await this.json(schema.nullable(), 'GET', next, { ...sent, query })
      // Go encodes an empty list as null.
      const data = answer.data ?? []
      all.push(...data)
      next = this.#nextOf(answer.headers.get('link'))
      query = undefined
      // Gitea names the next page for some lists, and for others only the number of entries.
      const isCounted = all.length < Number(answer.headers.get('x-total-count') ?? 0)
      if (next === undefined && data.length > 0 && (isCounted || sent.isUncounted)) {
        next = path
        query = { ...sent.query, page: page + 1 }
      }
    }
    if (next !== undefined && sent.isWhole)
      throw new ErrandError(
        'service_answer',
        `${this.#options.name} has over ${all.length} entries for ${sent.missing ?? 'a repository'}, more than Errand reads.`,
        { hint: 'Create a new issue with the remaining work.' },
      )
    return all
  }

  /** Returns the last lines of a text. Follows one redirect, such as to a log store, without the token. */
  async lastLines(path: string, lines: number, sent: Sent = {}): Promise<string> {
    const url = this.#url(path, undefined)
    return await this.#patiently(
      'GET',
      url,
      sent,
      async (response) => {
        const location = response.headers.get('location')
        if (response.status < 300 || location === null) return await this.#tail(response, lines)
        await response.body?.cancel()
        const target = new URL(location, url)
        if (target.protocol !== 'https:' && target.host !== new URL(url).host)
          throw this.#garbage(url, `redirects to ${target.protocol}//${target.host}, which is not encrypted`)
        const signal = this.#limited(sent.signal)
        return await this.#tail(await this.#fetch(target.href, { redirect: 'error', signal }), lines)
      },
      true,
    )
  }

  /**
   * Runs an action that must happen only once. If `post` broke off and may have arrived, calls `look` for its result
   * before it tries again.
   */
  async once<T>(
    post: () => Promise<T>,
    look: () => Promise<T | undefined>,
    signal?: AbortSignal,
  ): Promise<T> {
    const backoff = this.#backoff()
    for (let left = this.#retryCount; ; left--) {
      try {
        return await post()
      } catch (error) {
        if (!(error instanceof PerhapsArrived)) throw error
        await this.#wait(backoff.next(), signal)
        const found = await look()
        if (found !== undefined) return found
        if (left <= 0) throw error.problem
      }
    }
  }

  /** Masks the sent tokens in a text: plain, URL-encoded and in base64. */
  masked(text: string): string {
    let clean = text
    for (const token of this.#tokens)
      for (const form of [token, encodeURIComponent(token), Buffer.from(token).toString('base64')])
        clean = clean.replaceAll(form, '***')
    return clean
  }

  get #retryCount(): number {
    return this.#options.retryCount ?? 3
  }

  #backoff(): Backoff {
    return new Backoff({ firstMs: 1000, maxMs: 60_000, jitter: 0.2 })
  }

  #limited(signal: AbortSignal | undefined): AbortSignal {
    const limit = AbortSignal.timeout(this.#options.timeoutMs ?? 30_000)
    return signal === undefined ? limit : AbortSignal.any([signal, limit])
  }

  async #patiently<T>(
    method: Method,
    url: string,
    sent: Sent,
    read: (response: Response) => Promise<T>,
    takesRedirects = false,
  ): Promise<T> {
    const isRepeatable = sent.isRepeatable ?? method !== 'POST'
    const backoff = this.#backoff()
    let waitLeftMs = this.#options.mostWaitMs ?? 3_600_000
    let renewed = false
    for (let left = this.#retryCount; ; ) {
      sent.signal?.throwIfAborted()
      let broken: ErrandError
      let isSafe = isRepeatable
      try {
        const token = await this.#options.tokens.token(sent.signal)
        if (token !== undefined && token !== '') this.#tokens.add(token)
        const response = await this.#send(method, url, sent, token)
        const { status } = response
        if (status < 300 || status === 304 || (takesRedirects && status < 400)) return await read(response)
        const words = await this.#wordsOf(response)
        const waitMs = requestedWait(response, words)
        if (waitMs !== undefined) {
          if (waitMs > waitLeftMs) throw this.#busy(waitMs)
          waitLeftMs -= waitMs
          this.#options.onWait?.(waitMs)
          await this.#wait(waitMs, sent.signal)
          continue
        }
        if (status === 401 && !renewed && this.#options.tokens.renew?.(token) === true) {
          renewed = true
          continue
        }
        if (status < 500) throw this.#refusal(response, words, url, sent)
        broken = this.#away(`answers ${status}${words === '' ? '' : ` (${words})`}`)
        if (status === 501) throw broken
      } catch (error) {
        if (sent.signal?.aborted) throw sent.signal.reason
        if (error instanceof ErrandError) throw error
        broken = this.#away(`does not answer: ${this.masked(reasonOf(error))}`, error)
        isSafe ||= neverArrived(error)
      }
      if (!isSafe) throw new PerhapsArrived(broken)
      if (left-- <= 0) throw broken
      await this.#wait(backoff.next(), sent.signal)
    }
  }

  async #send(method: Method, url: string, sent: Sent, token: string | undefined): Promise<Response> {
    const headers: Record<string, string> = {
      accept: 'application/json',
      'user-agent': 'errand',
      ...sent.headers,
    }
    if (token !== undefined && token !== '') headers.authorization = this.#options.authorization(token)
    if (sent.body !== undefined) headers['content-type'] = 'application/json'
    return await this.#fetch(url, {
      method,
      headers,
      body: sent.body === undefined ? undefined : JSON.stringify(sent.body),
      redirect: 'manual',
      signal: this.#limited(sent.signal),
    })
  }

  /** Returns the URL of a path below the API, or of the full address of a page. */
  #url(path: string, query: Sent['query']): string {
    const url = new URL(path.startsWith('/') ? this.#options.apiUrl + path : path)
    for (const [name, value] of Object.entries(query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value))
    return url.href
  }

  /** Returns the address of the next page. Throws if it is on another server. */
  #nextOf(link: string | null): string | undefined {
    const next = /<([^>]+)>\s*;[^,]*\brel="?next"?/.exec(link ?? '')?.[1]
    const api = new URL(this.#options.apiUrl)
    if (next === undefined || !URL.canParse(next, api.href)) return undefined
    const url = new URL(next, api)
    if (url.origin !== api.origin) throw this.#garbage(api.href, `names ${url.origin} as the next page`)
    return url.href
  }

  #parsed<T>(schema: z.ZodType<T>, text: string, url: string): T {
    let value: unknown
    try {
      value = text === '' ? null : JSON.parse(text)
    } catch {
      throw this.#garbage(url, 'is not valid JSON')
    }
    const { data, error } = schema.safeParse(value)
    if (error === undefined) return data
    const [issue] = error.issues
    throw this.#garbage(url, `has an invalid "${issue?.path.join('.') || 'body'}": ${issue?.message}`)
  }

  async #tail(response: Response, lines: number): Promise<string> {
    if (!response.ok) throw this.#away(`answers ${response.status} for a log`)
    const chunks: Buffer[] = []
    let bytes = 0
    let read = 0
    for await (const chunk of response.body ?? []) {
      chunks.push(Buffer.from(chunk))
      bytes += chunk.length
      read += chunk.length
      while (bytes - chunks[0]!.length > MOST_BYTES) bytes -= chunks.shift()!.length
      if (read > MOST_LOG_BYTES) break
    }
    const all = Buffer.concat(chunks).toString().replace(/\r\n/g, '\n').replace(/\n$/, '').split('\n')
    return this.masked(all.slice(-lines).join('\n'))
  }

  async #wordsOf(response: Response): Promise<string> {
    const text = await bounded(response, MOST_WORDS_BYTES, () => undefined).catch(() => '')
    return this.masked(wordsIn(text)).slice(0, 500)
  }

  #refusal(response: Response, words: string, url: string, sent: Sent): ErrandError {
    const { name } = this.#options
    const { status } = response
    const shown = words === '' ? `HTTP ${status}` : `"${words}"`
    const refused = (code: ErrorCode, message: string, hint: string) =>
      new Refused(code, message, hint, status, words)
    if (status >= 300 && status < 400) {
      const target = response.headers.get('location') ?? 'another address'
      return refused(
        'repo_not_found',
        `${name} says that this repository has moved to ${this.masked(target)}`,
        'Use the new address of the repository.',
      )
    }
    if (status === 401)
      return refused(
        'repo_auth',
        `${name} rejected the token: ${shown}.`,
        'Provide a token if there is none, or create a new one; the old one may have expired.',
      )
    if (status === 423 || ((status === 403 || status === 422) && /archived/i.test(words)))
      return refused(
        'repo_archived',
        `The repository is archived: ${shown}.`,
        'Unarchive it, or use another repository.',
      )
    if (status === 403)
      return refused(
        sent.denied ?? 'forge_denied',
        `${name} does not allow this token to access ${place(url, this.#options.apiUrl)}: ${shown}.`,
        'Give the token this permission (contents, issues and pull requests: write), or use another token.',
      )
    if (status === 404 || status === 410)
      return sent.missing === undefined
        ? refused(
            'repo_not_found',
            `${name} has no such repository, or this token may not see it.`,
            'Check its name, and that the token has access to it.',
          )
        : refused('not_found', `${name} has no ${sent.missing}.`, 'Check its number and its repository.')
    return refused(
      'forge_denied',
      `${name} refused a request (${place(url, this.#options.apiUrl)}): ${shown}.`,
      "The forge's message says why; an outdated version of the forge can also be the cause.",
    )
  }

  #busy(waitMs: number): ErrandError {
    return new ErrandError(
      'forge_busy',
      `${this.#options.name} accepts no more requests for ${Math.ceil(waitMs / 1000)} seconds.`,
      { hint: 'Its rate limit is used up: try again later, or use a separate token.' },
    )
  }

  #away(how: string, cause?: unknown): ErrandError {
    return new ErrandError('forge_away', `${this.#options.name} ${how}.`, {
      hint: 'Check that its address is right and that this machine can reach it.',
      cause,
    })
  }

  #garbage(url: string, how: string): ErrandError {
    return new ErrandError(
      'service_answer',
      this.masked(`${this.#options.name} sent an unexpected answer: ${url} ${how}.`),
      { hint: 'Check the address of its API (api_url) and any proxy in between.' },
    )
  }
}

const place = (url: string, apiUrl: string): string =>
  new URL(url).pathname.slice(new URL(apiUrl).pathname.length)

/** Returns the message of a forge's error answer, in any of the formats that forges use. */
export function wordsIn(text: string): string {
  try {
    const { message, error, error_description, errors } = JSON.parse(text)
    const all = [message, error_description ?? error, errors]
    return [...new Set(all.flatMap(wordsOf))].join('; ')
  } catch {
    return /^\s*</.test(text) ? '' : text.trim().slice(0, 200)
  }
}

function wordsOf(value: unknown): string[] {
  if (typeof value === 'string') return value === '' ? [] : [value]
  if (Array.isArray(value)) return value.flatMap(wordsOf)
  if (typeof value !== 'object' || value === null) return []
  const { message, resource, field, code } = value as Record<string, unknown>
  if (typeof message === 'string') return [message]
  if (typeof code === 'string') return [[resource, field, code].filter(Boolean).join(' ')]
  return Object.entries(value).map(([name, each]) => `${name} ${wordsOf(each).join(', ')}`)
}

/** Returns the milliseconds that the forge asks to wait, or undefined if it does not ask. */
function requestedWait({ status, headers }: Response, words: string): number | undefined {
  if (status !== 429 && status !== 403 && status !== 503) return undefined
  const after = headers.get('retry-after')
  if (after !== null) {
    const ms = /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now()
    if (Number.isFinite(ms)) return Math.max(ms, 0)
  }
  if (status === 503) return undefined
  const isUsedUp = headers.get('x-ratelimit-remaining') === '0' || headers.get('ratelimit-remaining') === '0'
  const reset = headers.get('x-ratelimit-reset') ?? headers.get('ratelimit-reset')
  if ((isUsedUp || status === 429) && reset !== null && /^\d+$/.test(reset))
    return Math.max(Number(reset) * 1000 - Date.now(), 0) + 1000
  if (status === 429 || /secondary rate limit|abuse detection/i.test(words)) return SECONDARY_WAIT_MS
  return undefined
}

async function bounded(response: Response, most: number, tooLong: () => Error | undefined): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > most) {
      const error = tooLong()
      if (error !== undefined) throw error
      break
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

const codeOf = (error: unknown): string | undefined => {
  const { cause, code } = error as { cause?: { code?: string }; code?: string }
  return cause?.code ?? (typeof code === 'string' ? code : undefined)
}

const reasonOf = (error: unknown): string =>
  (error as Error)?.name === 'TimeoutError' ? 'the request timed out' : (codeOf(error) ?? messageOf(error))

/** Reports whether the request failed before a connection was made. */
const neverArrived = (error: unknown): boolean =>
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(
    codeOf(error) ?? '',
  )
