import { ErrandError, type ErrorCode, errorStatus } from '../contract/errors.ts'

export interface ClientOptions {
  /** The hub's address; a path before `/api` is kept. */
  url: string
  /** From a login, or an API token. Without one only `/health` and the login answer. */
  token?: string
  fetch?: typeof globalThis.fetch
}

export interface CallOptions {
  query?: Record<string, string | number | boolean | readonly string[] | undefined>
  body?: unknown
  /** Instead of `body`: sent as they are. */
  bytes?: Uint8Array
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** One door to the hub: addresses, the token, and errors as the server says them. */
export class HubHttp {
  readonly url: string
  readonly #token: string | undefined
  readonly #fetch: typeof globalThis.fetch

  constructor(options: ClientOptions) {
    this.url = options.url.replace(/\/+$/, '')
    if (!URL.canParse(this.url) || !/^https?:/.test(this.url))
      throw new ErrandError('invalid_argument', `"${options.url}" is no address of a hub.`, {
        hint: 'Write it as http://127.0.0.1:3000',
      })
    this.#token = options.token
    this.#fetch = options.fetch ?? globalThis.fetch
  }

  /** Throws what the server answered, or `unavailable`. The body is not read yet. */
  async send(method: string, path: string, options: CallOptions = {}): Promise<Response> {
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
      response = await this.#fetch(this.address(path, options.query), {
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

  async json<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.send(method, path, options)
    try {
      return (await response.json()) as T
    } catch (cause) {
      if (options.signal?.aborted) throw options.signal.reason
      throw this.#stranger(response, cause)
    }
  }

  /** For calls whose answer has no body. */
  async done(method: string, path: string, options: CallOptions = {}): Promise<void> {
    const response = await this.send(method, path, options)
    await response.body?.cancel()
  }

  address(path: string, query: CallOptions['query'] = {}): string {
    const url = new URL(this.url + path)
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
      `What answers at ${this.url} is no Errand hub: HTTP ${response.status} without Errand's answer.`,
      { hint: 'Check the address, and a proxy in between.', cause },
    )
  }

  async #refusal(response: Response): Promise<ErrandError> {
    const text = await response.text().catch(() => '')
    const error = errorOf(text)
    return error ?? this.#stranger(response)
  }
}

/** An error of the server's, from its body. */
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

/** `fetch failed` says nothing; what it was caused by does. */
function why(cause: unknown): string {
  const inner = cause instanceof Error ? (cause.cause ?? cause) : cause
  const code = (inner as { code?: unknown } | undefined)?.code
  if (code === 'ECONNREFUSED') return ': nothing listens there'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return ': its name is not known'
  return typeof code === 'string' ? ` (${code})` : ''
}
