import { ErrandError, type ErrorCode, errorStatus } from '../contract/errors.ts'
// Only types: loading the schemas costs more than a call does.
import type { AnswerOf, RouteInput, RouteName } from '../contract/routes/table.ts'

export interface ClientOptions {
  /** The hub's address; a path before `/api` stays. */
  url: string
  /** Token from a login, or an API token. Without one only `/health` and the login answer. */
  token?: string
  fetch?: typeof globalThis.fetch
}

interface Extras {
  /** Bytes that are sent unchanged instead of a body. */
  bytes?: Uint8Array
  headers?: Record<string, string>
  signal?: AbortSignal
}
/** The parts of a request that the route takes according to the table of routes, and the options of any call. */
type Call<N extends RouteName> = RouteInput<N> & Extras
/** Makes the call optional when nothing is required. */
type CallOf<N extends RouteName> = Record<never, never> extends Call<N> ? [call?: Call<N>] : [call: Call<N>]

type Query = Record<string, string | number | boolean | readonly string[] | undefined>
interface AnyCall extends Extras {
  params?: Record<string, string | number>
  query?: Query
  body?: unknown
}

/** Sends all requests to the hub: adds the address and token, and turns the server's errors into `ErrandError`s. */
export class HubHttp {
  readonly url: string
  readonly #token: string | undefined
  readonly #fetch: typeof globalThis.fetch

  constructor(options: ClientOptions) {
    this.url = options.url.replace(/\/+$/, '')
    if (!URL.canParse(this.url) || !/^https?:/.test(this.url))
      throw new ErrandError('invalid_argument', `"${options.url}" is not the address of a hub.`, {
        hint: 'Write it as http://127.0.0.1:3000',
      })
    this.#token = options.token
    this.#fetch = options.fetch ?? globalThis.fetch
  }

  /** Sends a request. Throws the server's error, or `unavailable`. Does not read the body yet. */
  async send<N extends RouteName>(route: N, ...[call]: CallOf<N>): Promise<Response> {
    const options: AnyCall = call ?? {}
    const [method, path] = route.split(' ') as [string, string]
    const headers: Record<string, string> = { accept: 'application/json', ...options.headers }
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`
    let body: string | Uint8Array<ArrayBuffer> | undefined
    if (options.bytes !== undefined) body = options.bytes as Uint8Array<ArrayBuffer>
    else if (typeof options.body === 'string') body = options.body
    else if (options.body !== undefined) {
      body = JSON.stringify(options.body)
      headers['content-type'] = 'application/json'
    }
    let response: Response
    try {
      response = await this.#fetch(this.#address(path, options), {
        method,
        headers,
        body,
        signal: options.signal,
        redirect: 'error',
      })
    } catch (cause) {
      if (options.signal?.aborted) throw options.signal.reason
      throw this.unreachable(cause)
    }
    if (!response.ok) throw await this.#refusal(response)
    return response
  }

  async json<N extends RouteName>(route: N, ...call: CallOf<N>): Promise<AnswerOf<N>> {
    const response = await this.send(route, ...call)
    try {
      return (await response.json()) as AnswerOf<N>
    } catch (cause) {
      const { signal } = (call[0] ?? {}) as Extras
      if (signal?.aborted) throw signal.reason
      throw this.#stranger(response, cause)
    }
  }

  /** Sends a request whose answer has no body, or one that nobody needs. */
  async done<N extends RouteName>(route: N, ...call: CallOf<N>): Promise<void> {
    const response = await this.send(route, ...call)
    await response.body?.cancel()
  }

  #address(path: string, { params = {}, query = {} }: AnyCall): string {
    const filled = path.replace(/:(\w+)/g, (_, name) => encodeURIComponent(String(params[name])))
    const url = new URL(this.url + filled)
    for (const [key, value] of Object.entries(query))
      for (const each of [value ?? []].flat()) url.searchParams.append(key, String(each))
    return url.href
  }

  unreachable(cause: unknown): ErrandError {
    return new ErrandError('unavailable', `The hub at ${this.url} does not answer${why(cause)}.`, {
      hint: 'Start it with: errand up. If it runs elsewhere, give its address with ERRAND_URL.',
      cause,
    })
  }

  #stranger(response: Response, cause?: unknown): ErrandError {
    return new ErrandError(
      'unavailable',
      `The server at ${this.url} is not an Errand hub: it answered HTTP ${response.status}, but not as a hub does.`,
      { hint: 'Check the address, and any proxy in between.', cause },
    )
  }

  async #refusal(response: Response): Promise<ErrandError> {
    const text = await response.text().catch(() => '')
    const error = errorOf(text)
    return error ?? this.#stranger(response)
  }
}

/** Parses the server's error from a body. */
export function errorOf(text: string): ErrandError | undefined {
  try {
    const { error } = JSON.parse(text)
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') return undefined
    const code: ErrorCode = Object.hasOwn(errorStatus, error.code) ? error.code : 'internal'
    return new ErrandError(code, error.message, { hint: error.hint, details: error.details })
  } catch {
    return undefined
  }
}

/** Returns the cause of an error, since `fetch failed` alone says nothing. */
function why(cause: unknown): string {
  const inner = cause instanceof Error ? (cause.cause ?? cause) : cause
  const code = (inner as { code?: unknown } | undefined)?.code
  if (code === 'ECONNREFUSED') return ': nothing listens there'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return ': its name cannot be resolved'
  return typeof code === 'string' ? ` (${code})` : ''
}
