import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { ErrandError, type ErrorCode, messageOf } from '../contract/errors.ts'
import { Backoff } from '../platform/time.ts'
import type { TokenSource } from './token-source.ts'

/**
 * Limits the bytes of an answer, and the pages of a list. A GitHub page may hold a hundred comments of 64 KiB, GitLab
 * accepts texts of 1 MiB, and Gitea returns all comments of an issue at once.
 */
const MOST_BYTES = 16 * 1024 * 1024
const MOST_PAGES = 10
const MOST_WORDS_BYTES = 64 * 1024
const MOST_LOG_BYTES = 64 * 1024 * 1024
/** Milliseconds to wait at GitHub's secondary limit if the answer gives no time, as GitHub recommends. */
const SECONDARY_WAIT_MS = 60_000

export interface ForgeHttpOptions {
  /** Name in messages, such as "GitHub at github.com". */
  name: string
  /** Without a slash at its end. */
  apiUrl: string
  tokens: TokenSource
  /** Returns the value of the header that carries the token. */
  authorization(token: string): string
  /** Number of retries if the forge is unreachable. Default 3. */
  retryCount?: number
  /** Milliseconds that one request may take. Default 30,000. */
  timeoutMs?: number
  /** Longest wait in milliseconds that the forge may ask for; a longer one throws `forge_busy`. Default one hour. */
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
  /** Name of what a 404 says is missing, such as "issue 12"; by default the repository. */
  missing?: string
  /** Error code for a 403; default `forge_denied`. */
  denied?: ErrorCode
  /** True if the request may be sent again although it may have arrived; by default all except POST. */
  isRepeatable?: boolean
  /** Makes a list throw if it has more entries than are read. */
  isWhole?: boolean
  /**
   * Marks a list that does not say whether there are more pages, so that it ends at the first empty one (Gitea's
   * timeline).
   */
  isUncounted?: boolean
}

export interface Answer<T> {
  status: number
  headers: Headers
  data: T
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** A request that changes something and may have arrived. The caller checks that before sending it again. */
export class PerhapsArrived extends Error {
  readonly problem: ErrandError

  constructor(problem: ErrandError) {
    super(problem.message, { cause: problem })
    this.name = 'PerhapsArrived'
    this.problem = problem
  }
}

/**
 * A status that is not a success and that waiting does not change. `words` is the forge's own text, without the
 * token.
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
 * The only way to a forge's API. It sends the token only in the header, limits size and time, waits as the forge
 * asks, and retries if the forge is unreachable. It never follows a redirect with the token, and reads pages only
 * from the same API.
 */
export class ForgeHttp {
  readonly #options: ForgeHttpOptions
  readonly #wait: NonNullable<ForgeHttpOptions['wait']>
  readonly #fetch: typeof globalThis.fetch
  /** Tokens that were sent; they are removed from messages. */
  readonly #tokens = new Set<string>()

  constructor(options: ForgeHttpOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? globalThis.fetch
    this.#wait = options.wait ?? ((ms, signal) => sleep(ms, undefined, { signal }))
  }

  get tokens(): TokenSource {
    return this.#options.tokens
  }

  /** GitHub's GraphQL API, next to this one. */
  get graphqlUrl(): string {
    return `${this.#options.apiUrl.replace(/\/v3$/, '')}/graphql`
  }

  /**
   * Sends a request and parses the answer. Throws `Refused` for a 4xx, and `PerhapsArrived` if the connection broke
   * and the request must not be repeated.
   */
  async json<T>(schema: z.ZodType<T>, method: Method, path: string, sent: Sent = {}): Promise<Answer<T>> {
    const url = this.#url(path, sent.query)
    return await this.#patiently(method, url, sent, async (response) => {
      if (response.status === 304) return { status: 304, headers: response.headers, data: undefined as T }
      const text = await bounded(response, MOST_BYTES, () => this.#garbage(url, 'is longer than 16 MiB'))
      return { status: response.status, headers: response.headers, data: this.#parsed(schema, text, url) }
    })
  }

  /** Returns all pages of a list, about 1,000 entries at most. */
  async pages<T>(schema: z.ZodType<T[]>, path: string, sent: Sent = {}): Promise<T[]> {
    const all: T[] = []
    let next: string | undefined = path
    let query = sent.query
    for (let page = 1; next !== undefined && page <= MOST_PAGES; page++) {
      const answer: Answer<T[] | null> = await this.json(schema.nullable(), 'GET', next, { ...sent, query })
      // Go sends an empty list as null.
      const data = answer.data ?? []
      all.push(...data)
      next = this.#nextOf(answer.headers.get('link'))
      query = undefined
      // Gitea names the next page of some lists; for others it gives only the number of entries.
      const isCounted = all.length < Number(answer.headers.get('x-total-count') ?? 0)
      if (next === undefined && data.length > 0 && (isCounted || sent.isUncounted)) {
        next = path
        query = { ...sent.query, page: page + 1 }
      }
    }
    if (next !== undefined && sent.isWhole)
      throw new ErrandError(
        'service_answer',
        `${this.#options.name} lists more of ${sent.missing ?? 'a repository'} than is read: over ${all.length} entries.`,
        { hint: 'Make a new issue with what is still to be done.' },
      )
    return all
  }

  /** Returns the last lines of a text. One redirect, such as to a store of logs, is followed without the token. */
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
          throw this.#garbage(url, `sends on to ${target.protocol}//${target.host}, which is not encrypted`)
        const signal = this.#limited(sent.signal)
        return await this.#tail(await this.#fetch(target.href, { redirect: 'error', signal }), lines)
      },
      true,
    )
  }

  /**
   * Makes sure that something is done once. If `post` broke off and may have arrived, `look` checks that before the
   * next try.
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

  /** Removes tokens that were sent from a text, in whatever encoding they appear. */
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
        const waitMs = waitAskedFor(response, words)
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

  /** Returns the URL of a path below the API, or of a page's address. */
  #url(path: string, query: Sent['query']): string {
    const url = new URL(path.startsWith('/') ? this.#options.apiUrl + path : path)
    for (const [name, value] of Object.entries(query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value))
    return url.href
  }

  /** Returns the next page; an address outside the API is ignored. */
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
      throw this.#garbage(url, 'is no JSON')
    }
    const { data, error } = schema.safeParse(value)
    if (error === undefined) return data
    const [issue] = error.issues
    throw this.#garbage(url, `has a wrong "${issue?.path.join('.') || 'body'}": ${issue?.message}`)
  }

  async #tail(response: Response, lines: number): Promise<string> {
    if (!response.ok) throw this.#away(`answers ${response.status} for a log`)
    const kept: Buffer[] = []
    let bytes = 0
    let read = 0
    for await (const chunk of response.body ?? []) {
      kept.push(Buffer.from(chunk))
      bytes += chunk.length
      read += chunk.length
      while (bytes - kept[0]!.length > MOST_BYTES) bytes -= kept.shift()!.length
      if (read > MOST_LOG_BYTES) break
    }
    const all = Buffer.concat(kept).toString().replace(/\r\n/g, '\n').replace(/\n$/, '').split('\n')
    return this.masked(all.slice(-lines).join('\n'))
  }

  async #wordsOf(response: Response): Promise<string> {
    const text = await bounded(response, MOST_WORDS_BYTES, () => undefined).catch(() => '')
    return this.masked(wordsIn(text)).slice(0, 500)
  }

  #refusal(response: Response, words: string, url: string, sent: Sent): ErrandError {
    const { name } = this.#options
    const { status } = response
    const said = words === '' ? `HTTP ${status}` : `"${words}"`
    const refused = (code: ErrorCode, message: string, hint: string) =>
      new Refused(code, message, hint, status, words)
    if (status >= 300 && status < 400) {
      const target = response.headers.get('location') ?? 'another address'
      return refused(
        'repo_not_found',
        `${name} says that this repository has moved: ${this.masked(target)}`,
        'Name the repository by its new address.',
      )
    }
    if (status === 401)
      return refused(
        'repo_auth',
        `${name} does not take the token: ${said}.`,
        'Make a new token, or give one where there is none; it may have run out.',
      )
    if (status === 423 || ((status === 403 || status === 422) && /archived/i.test(words)))
      return refused(
        'repo_archived',
        `The repository is archived: ${said}.`,
        'Unarchive it, or name another.',
      )
    if (status === 403)
      return refused(
        sent.denied ?? 'forge_denied',
        `${name} does not allow this token ${place(url, this.#options.apiUrl)}: ${said}.`,
        'Give the token the right to it (contents, issues and pull requests: write), or use another one.',
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
      `${name} refused a request (${place(url, this.#options.apiUrl)}): ${said}.`,
      'Its words say why; a version of the forge that is too old may be the cause as well.',
    )
  }

  #busy(waitMs: number): ErrandError {
    return new ErrandError(
      'forge_busy',
      `${this.#options.name} takes no more requests for ${Math.ceil(waitMs / 1000)} seconds.`,
      { hint: 'Its limit of requests is used up: try again then, or use a token of its own.' },
    )
  }

  #away(how: string, cause?: unknown): ErrandError {
    return new ErrandError('forge_away', `${this.#options.name} ${how}.`, {
      hint: 'Check that its address is right and that it can be reached from here.',
      cause,
    })
  }

  #garbage(url: string, how: string): ErrandError {
    return new ErrandError(
      'service_answer',
      this.masked(`${this.#options.name} answers what is none of its answers: ${url} ${how}.`),
      { hint: 'Check the address of its API (api_url), and a proxy in between.' },
    )
  }
}

const place = (url: string, apiUrl: string): string =>
  new URL(url).pathname.slice(new URL(apiUrl).pathname.length)

/** Returns the forge's own text, from any of the formats that forges use. */
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

/** Returns how long the forge asks to wait, in milliseconds, or undefined if it does not. */
function waitAskedFor({ status, headers }: Response, words: string): number | undefined {
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
  (error as Error)?.name === 'TimeoutError' ? 'its time is over' : (codeOf(error) ?? messageOf(error))

/** Reports whether not even a connection was made. */
const neverArrived = (error: unknown): boolean =>
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(
    codeOf(error) ?? '',
  )
