import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { ErrandError, messageOf } from '../contract/errors.ts'
import { Backoff } from '../platform/time.ts'

export interface ServiceOptions {
  /** The address below which its paths are: at a hub such as `https://hub.example/api/store`. */
  url: string
  token?: string
  fetch?: typeof globalThis.fetch
  /** Milliseconds for one request. Default 30 s. */
  timeoutMs?: number
  /** Number of repeats of a request that failed through the service's fault. Default 3. */
  retries?: number
  /** Milliseconds before the first repeat; doubled for each later one. Default 1 s. */
  retryMs?: number
}

/** A request below the address of the service. */
export interface ServiceRequest<T> {
  path: string
  /** Called again for each try. */
  body(): Promise<FormData> | FormData | Record<string, unknown>
  headers?: Record<string, string>
  /** Schema of its answer. */
  answer: z.ZodType<T>
  /** Set when this request may take longer than others. */
  timeoutMs?: number
  signal?: AbortSignal
}

const MAX_WAIT_MS = 60_000
const MAX_ANSWER_BYTES = 1024 ** 2

/**
 * Sends requests to an external service. An invalid answer becomes `service_answer`, with the service, the URL and the
 * field; a service that cannot be reached after all tries becomes `unavailable`.
 */
export class ServiceCaller {
  readonly #name: string
  readonly #options: Required<Omit<ServiceOptions, 'token'>> & { token?: string }

  /** `name`: such as `artifact store`. Throws `invalid_argument` for an invalid address. */
  constructor(name: string, options: ServiceOptions) {
    const url = options.url.replace(/\/+$/, '')
    if (!URL.canParse(url) || !/^https?:/.test(url))
      throw new ErrandError(
        'invalid_argument',
        `"${options.url}" is not the address of a service (${name}).`,
        {
          hint: 'Write it as https://service.example/api',
        },
      )
    this.#name = name
    this.#options = { fetch: globalThis.fetch, timeoutMs: 30_000, retries: 3, retryMs: 1000, ...options, url }
  }

  get url(): string {
    return this.#options.url
  }

  async post<T>(request: ServiceRequest<T>): Promise<T> {
    const { retries, retryMs } = this.#options
    const backoff = new Backoff({ firstMs: retryMs, maxMs: MAX_WAIT_MS })
    for (let left = retries; ; left--) {
      const answer = await this.#once(request)
      if ('value' in answer) return answer.value
      if (!answer.again || left === 0) throw answer.error
      const waitMs = Math.min(MAX_WAIT_MS, answer.waitMs ?? backoff.next())
      await sleep(waitMs, undefined, { signal: request.signal })
    }
  }

  async #once<T>({
    path,
    body,
    headers,
    answer,
    signal,
    timeoutMs = this.#options.timeoutMs,
  }: ServiceRequest<T>): Promise<{ value: T } | { again: boolean; waitMs?: number; error: ErrandError }> {
    const { url, token, fetch } = this.#options
    const address = `${url}/${path}`
    const text = await body()
    const late = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(address, {
        method: 'POST',
        body: text instanceof FormData ? text : JSON.stringify(text),
        headers: {
          accept: 'application/json',
          ...(text instanceof FormData ? {} : { 'content-type': 'application/json' }),
          ...headers,
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
        // The token must not go to another place.
        redirect: 'manual',
      })
      const { status } = response
      if (response.ok) return { value: this.#read(await this.#text(response, address), address, answer) }
      await response.body?.cancel()
      const error = this.#wrong(address, `HTTP ${status}`, status)
      const waitMs = retryAfterMs(response.headers.get('retry-after'))
      return { again: status === 429 || status >= 500, waitMs, error }
    } catch (cause) {
      signal?.throwIfAborted()
      if (cause instanceof ErrandError) return { again: false, error: cause }
      const why = late.aborted
        ? `no answer within ${timeoutMs / 1000} s`
        : messageOf((cause as Error).cause ?? cause)
      const error = new ErrandError(
        'unavailable',
        `The ${this.#name} at ${address} cannot be reached: ${why}`,
        {
          hint: 'Check that it is running, and that its address is correct.',
          cause,
        },
      )
      return { again: true, error }
    }
  }

  /** Reads the body. Throws `service_answer` when it is longer than any valid answer. */
  async #text(response: Response, address: string): Promise<string> {
    const pieces: Uint8Array[] = []
    let bytes = 0
    for await (const piece of response.body ?? []) {
      bytes += piece.length
      if (bytes > MAX_ANSWER_BYTES) throw this.#wrong(address, `with more than ${MAX_ANSWER_BYTES} bytes`)
      pieces.push(piece)
    }
    return Buffer.concat(pieces).toString()
  }

  #read<T>(text: string, address: string, shape: z.ZodType<T>): T {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      throw this.#wrong(address, 'with invalid JSON')
    }
    const read = shape.safeParse(value)
    if (read.success) return read.data
    const [field] = read.error.issues[0]!.path
    if (field === undefined) throw this.#wrong(address, 'with JSON that is not an object')
    const isThere = Object.hasOwn(value as object, field)
    throw this.#wrong(
      address,
      isThere ? `with an invalid field "${String(field)}"` : `without the field "${String(field)}"`,
    )
  }

  #wrong(address: string, what: string, status?: number): ErrandError {
    return new ErrandError('service_answer', `The ${this.#name} at ${address} answered ${what}.`, {
      hint: `Check its address and its token, and that it is a service of this kind: ${this.#name}.`,
      details: { url: address, ...(status !== undefined && { status }) },
    })
  }
}

/** Parses seconds, or a date. */
function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0) return seconds * 1000
  const ms = Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
