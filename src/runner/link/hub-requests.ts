import { Readable } from 'node:stream'
import { ErrandError, type ErrorBody, errorStatus } from '../../contract/errors.ts'
import { HubAway, HubRetry } from './hub-retry.ts'

/** Limit in ms for one request: the largest artifact over a slow line. */
const ANSWER_MS = 900_000
/** Limit in ms for the hub to begin its answer; after that it counts as away. */
const BEGIN_MS = 30_000
const MAX_ANSWER = 64 * 1024

export interface HubRequestsOptions {
  /** URL with http, https, ws or wss; its path is kept. */
  url: string
  token: string
  /** Decides how long to retry; default: as without a link. */
  retry?: HubRetry
}

/** Sends a runner's requests to its hub outside the link, each once. `retry` repeats them. */
export class HubRequests {
  readonly retry: HubRetry
  readonly #url: string
  readonly #token: string

  constructor({ url, token, retry = new HubRetry() }: HubRequestsOptions) {
    this.#url = url
    this.#token = token
    this.retry = retry
  }

  /**
   * Sends a body. `what` begins its error messages, such as "a.txt could not be sent to the hub". Throws `HubAway`, or
   * the hub's refusal.
   */
  async send(path: string, request: RequestInit, what: string, signal: AbortSignal): Promise<void> {
    const response = await this.#ask(path, request, what, signal)
    await response.body?.cancel()
  }

  /** Fetches bytes that the hub has. Throws like `send`; the stream fails too if it breaks off. */
  async body(path: string, what: string, signal: AbortSignal): Promise<Readable> {
    const begun = new AbortController()
    const late = setTimeout(() => begun.abort(new Error(`no answer within ${BEGIN_MS / 1000} s`)), BEGIN_MS)
    try {
      const response = await this.#ask(path, { signal: begun.signal }, what, signal)
      return Readable.from(wholeBody(response, what), { objectMode: false })
    } finally {
      clearTimeout(late)
    }
  }

  async #ask(path: string, request: RequestInit, what: string, signal: AbortSignal): Promise<Response> {
    const url = new URL(this.#url)
    url.protocol = url.protocol.replace(/^ws/, 'http')
    const [way, query = ''] = path.split('?') as [string, string?]
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/${way}`
    url.search = query
    const signals = [signal, AbortSignal.timeout(ANSWER_MS), ...(request.signal ? [request.signal] : [])]
    let response: Response
    try {
      response = await fetch(url, {
        ...request,
        headers: { ...request.headers, authorization: `Bearer ${this.#token}` },
        redirect: 'error',
        signal: AbortSignal.any(signals),
      })
    } catch (cause) {
      signal.throwIfAborted()
      throw new HubAway(`${what}: it does not answer (${whyOf(cause)}).`, cause)
    }
    if (!response.ok) throw await refusal(response, what)
    return response
  }
}

async function* wholeBody(response: Response, what: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of response.body ?? []) yield piece
  } catch (cause) {
    throw new HubAway(`${what}: its answer broke off (${whyOf(cause)}).`, cause)
  }
}

function whyOf(error: unknown): string {
  const { cause, message } = error as Error
  return (cause as Error | undefined)?.message ?? message
}

/** Returns the error that the hub answered, with its code; a temporary refusal counts as an absence. */
async function refusal(response: Response, what: string): Promise<ErrandError> {
  const { status } = response
  const text = (await response.text().catch(() => '')).slice(0, MAX_ANSWER)
  let error: Partial<ErrorBody['error']> = {}
  try {
    error = (JSON.parse(text) as Partial<ErrorBody>).error ?? {}
  } catch {
    // The answer of a proxy is not the hub's.
  }
  const { code, message = `it answered ${status}`, hint } = error
  const isKnown = code !== undefined && Object.hasOwn(errorStatus, code)
  const isPassing = (status >= 500 || status === 429) && code !== 'output_damaged'
  if (!isKnown || isPassing) return new HubAway(`${what}: ${message}`)
  return new ErrandError(code, `${what}: ${message}`, { hint })
}
