import { openAsBlob } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../contract/errors.ts'
import { StoredArtifact } from '../contract/tasks/services.ts'
import { Backoff } from '../platform/time.ts'

export interface ArtifactStoreOptions {
  /** The address below which `/artifacts` is: of a hub `https://hub.example/api/store`. */
  url: string
  token?: string
  fetch?: typeof globalThis.fetch
  /** Of one request. Default 30 s. */
  timeoutMs?: number
  /** How often one is sent again that did not work out by the service's fault. Default 3. */
  retries?: number
  /** The wait before the first repeat, which then doubles. Default 1 s. */
  retryMs?: number
}

/** Something for the store; `type` is one of its words, such as `diff`, `log` or `test`. */
export interface ToStore {
  name: string
  type: string
  metadata?: Record<string, unknown>
  content: { file: string } | { bytes: Uint8Array<ArrayBuffer> | string }
}

const MAX_WAIT_MS = 60_000
const MAX_ANSWER_BYTES = 1024 ** 2

/**
 * An artifact store elsewhere, in the path and fields that such have: `POST /artifacts` of a form. An answer that is none is
 * `service_answer`; a store that could not be reached, however often, is `unavailable`.
 */
export class ArtifactStoreClient {
  readonly #options: Required<Omit<ArtifactStoreOptions, 'token'>> & { token?: string }

  constructor(options: ArtifactStoreOptions) {
    const url = options.url.replace(/\/+$/, '')
    if (!URL.canParse(url) || !/^https?:/.test(url))
      throw new ErrandError('invalid_argument', `"${options.url}" is no address of an artifact store.`, {
        hint: 'Write it as https://store.example/api',
      })
    this.#options = { fetch: globalThis.fetch, timeoutMs: 30_000, retries: 3, retryMs: 1000, ...options, url }
  }

  get url(): string {
    return this.#options.url
  }

  /** Resolves with the URI under which the store has it. */
  async put(artifact: ToStore, signal?: AbortSignal): Promise<StoredArtifact> {
    const { retries, retryMs } = this.#options
    const backoff = new Backoff({ firstMs: retryMs, maxMs: MAX_WAIT_MS })
    for (let left = retries; ; left--) {
      const answer = await this.#once(await formOf(artifact), signal)
      if ('stored' in answer) return answer.stored
      if (!answer.again || left === 0) throw answer.error
      await sleep(Math.min(MAX_WAIT_MS, answer.waitMs ?? backoff.next()), undefined, { signal })
    }
  }

  async #once(
    body: FormData,
    signal: AbortSignal | undefined,
  ): Promise<{ stored: StoredArtifact } | { again: boolean; waitMs?: number; error: ErrandError }> {
    const { url, token, timeoutMs, fetch } = this.#options
    const address = `${url}/artifacts`
    const late = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(address, {
        method: 'POST',
        body,
        headers: {
          accept: 'application/json',
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
        // To another place the token is not to go.
        redirect: 'manual',
      })
      const { status } = response
      if (response.ok) return { stored: storedOf(await boundedText(response), address) }
      await response.body?.cancel()
      const error = wrongAnswer(address, `HTTP ${status}`)
      const waitMs = retryAfterMs(response.headers.get('retry-after'))
      return { again: status === 429 || status >= 500, waitMs, error }
    } catch (cause) {
      signal?.throwIfAborted()
      if (cause instanceof ErrandError) return { again: false, error: cause }
      const why = late.aborted ? `nothing came within ${timeoutMs / 1000} s` : messageOf(cause)
      const error = new ErrandError(
        'unavailable',
        `The artifact store at ${address} cannot be reached: ${why}`,
        {
          hint: 'What is to be stored is kept; send it again when the store is back.',
          cause,
        },
      )
      return { again: true, error }
    }
  }
}

async function formOf({ name, type, metadata = {}, content }: ToStore): Promise<FormData> {
  const form = new FormData()
  const blob = 'file' in content ? await openAsBlob(content.file) : new Blob([content.bytes])
  form.set('file', blob, name)
  form.set('type', type)
  form.set('metadata', JSON.stringify(metadata))
  return form
}

/** Throws `service_answer` for what is longer than any answer. */
async function boundedText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of response.body ?? []) {
    bytes += piece.length
    if (bytes > MAX_ANSWER_BYTES) throw wrongAnswer(response.url, `more than ${MAX_ANSWER_BYTES} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

function storedOf(text: string, address: string): StoredArtifact {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw wrongAnswer(address, 'what is no JSON')
  }
  const stored = StoredArtifact.safeParse(value)
  if (!stored.success) throw wrongAnswer(address, 'without the field "uri"')
  return stored.data
}

const wrongAnswer = (address: string, what: string) =>
  new ErrandError('service_answer', `The artifact store at ${address} answered ${what}.`, {
    hint: 'Check its address and its token, and that it is an artifact store.',
    details: { url: address },
  })

/** Seconds, or a date. */
function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0) return seconds * 1000
  const ms = Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
