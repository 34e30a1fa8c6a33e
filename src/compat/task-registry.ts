import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../contract/errors.ts'
import type { TaskState } from '../contract/tasks/task.ts'
import { Backoff } from '../platform/time.ts'

export interface TaskRegistryOptions {
  /** The address below which `/tasks/{id}/status` and the others are: at a hub `https://hub.example/api/registry`. */
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

const MAX_WAIT_MS = 60_000

/**
 * Client of an external task registry, with the usual paths and fields. A call that the service refuses becomes
 * `service_answer`; a service that cannot be reached after all tries becomes `unavailable`.
 */
export class TaskRegistryClient {
  readonly #options: Required<Omit<TaskRegistryOptions, 'token'>> & { token?: string }

  constructor(options: TaskRegistryOptions) {
    const url = options.url.replace(/\/+$/, '')
    if (!URL.canParse(url) || !/^https?:/.test(url))
      throw new ErrandError('invalid_argument', `"${options.url}" is not the address of a task registry.`, {
        hint: 'Write it as https://registry.example/api',
      })
    this.#options = { fetch: globalThis.fetch, timeoutMs: 30_000, retries: 3, retryMs: 1000, ...options, url }
  }

  get url(): string {
    return this.#options.url
  }

  setStatus(
    id: string,
    status: { status: TaskState; metadata?: Record<string, unknown> },
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#send('PUT', id, 'status', status, signal)
  }

  /** Adds an event. Repeating an `event_id` changes nothing, if the registry detects that. */
  addEvent(
    id: string,
    event: { event_type: string; data?: unknown; event_id?: string },
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#send('POST', id, 'events', event, signal)
  }

  addArtifact(
    id: string,
    artifact: { type: string; uri: string; size_bytes?: number },
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#send('POST', id, 'artifacts', artifact, signal)
  }

  async #send(method: string, id: string, what: string, body: unknown, signal?: AbortSignal): Promise<void> {
    const { url, retries, retryMs } = this.#options
    const address = `${url}/tasks/${encodeURIComponent(id)}/${what}`
    const backoff = new Backoff({ firstMs: retryMs, maxMs: MAX_WAIT_MS })
    for (let left = retries; ; left--) {
      const answer = await this.#once(method, address, JSON.stringify(body), signal)
      if (answer.ok) return
      if (!answer.again || left === 0) throw answer.error
      await sleep(Math.min(MAX_WAIT_MS, answer.waitMs ?? backoff.next()), undefined, { signal })
    }
  }

  async #once(
    method: string,
    address: string,
    body: string,
    signal: AbortSignal | undefined,
  ): Promise<{ ok: true } | { ok: false; again: boolean; waitMs?: number; error: ErrandError }> {
    const { token, timeoutMs, fetch } = this.#options
    const late = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(address, {
        method,
        body,
        headers: {
          'content-type': 'application/json',
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
        // The token must not go to another place.
        redirect: 'manual',
      })
      // The body is useless, and may be long. But a page of a proxy in between is not a registry's answer.
      const isPage = response.ok && (await showsPage(response))
      await response.body?.cancel()
      if (isPage) return { ok: false, again: true, error: pageError(address) }
      if (response.ok) return { ok: true }
      const { status } = response
      const error = new ErrandError(
        'service_answer',
        `The task registry answered HTTP ${status} to ${method} ${address}.`,
        {
          hint: 'Check its address and its token, and that it knows the task.',
          details: { url: address, status },
        },
      )
      const waitMs = retryAfterMs(response.headers.get('retry-after'))
      return { ok: false, again: status === 429 || status >= 500, waitMs, error }
    } catch (cause) {
      signal?.throwIfAborted()
      const why = late.aborted
        ? `no answer within ${timeoutMs / 1000} s`
        : messageOf((cause as Error).cause ?? cause)
      const error = new ErrandError(
        'unavailable',
        `The task registry at ${address} cannot be reached: ${why}`,
        {
          hint: 'Reports are saved and sent once the registry is back.',
          cause,
        },
      )
      return { ok: false, again: true, error }
    }
  }
}

/** Reports whether the answer begins as a page of HTML. Some servers call an empty answer HTML. */
async function showsPage({ headers, body }: Response): Promise<boolean> {
  if (!headers.get('content-type')?.startsWith('text/html')) return false
  for await (const piece of body?.values({ preventCancel: true }) ?? [])
    return /^\s*</.test(Buffer.from(piece).toString('latin1'))
  return false
}

const pageError = (address: string): ErrandError =>
  new ErrandError(
    'unavailable',
    `The server at ${address} is not a task registry: it answered with an HTML page.`,
    {
      hint: 'Check the address, and any proxy in between. Reports are saved and sent once the registry answers.',
    },
  )

/** Parses seconds, or a date. */
function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0) return seconds * 1000
  const ms = Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
