import { openAsBlob } from 'node:fs'
import { Readable } from 'node:stream'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, type ErrorCode, errorStatus } from '../../contract/errors.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { ArtifactSink } from './artifact-keeper.ts'

/** The longest time of one request: the largest artifact at a slow line's pace. */
const ANSWER_MS = 900_000
const MAX_ANSWER = 64 * 1024

/** The artifacts of a hub, as one of its runners keeps and takes them. */
export class HubArtifacts implements ArtifactSink {
  readonly #hub: { url: string; token: string }

  /** A path that the hub stands under is kept. */
  constructor(hub: { url: string; token: string }) {
    this.#hub = hub
  }

  async put(
    { attempt_id }: AttemptSpec,
    { bytes, sha256, name }: Artifact,
    file: string,
    signal: AbortSignal,
  ): Promise<void> {
    const response = await this.#ask(
      `runner-artifacts/${encodeURIComponent(attempt_id)}?sha256=${sha256}&bytes=${bytes}`,
      {
        method: 'PUT',
        headers: { 'content-type': 'application/octet-stream' },
        body: await openAsBlob(file),
      },
      signal,
    )
    if (!response.ok) throw await refusal(response, `${name} could not be sent to the hub`)
    await response.body?.cancel()
  }

  async get(runId: string, artifactId: string, signal: AbortSignal): Promise<Readable> {
    const path = `runner-artifacts/${encodeURIComponent(runId)}/${encodeURIComponent(artifactId)}`
    return await this.#fetch(path, `The artifact ${artifactId} of ${runId}`, signal)
  }

  /** A file that goes with a prompt of that run. */
  async attachment(runId: string, id: string, signal: AbortSignal): Promise<Readable> {
    const path = `runner-attachments/${encodeURIComponent(runId)}/${encodeURIComponent(id)}`
    return await this.#fetch(path, `The attachment ${id} of ${runId}`, signal)
  }

  async #fetch(path: string, what: string, signal: AbortSignal): Promise<Readable> {
    const response = await this.#ask(path, {}, signal)
    if (!response.ok || response.body === null)
      throw await refusal(response, `${what} could not be fetched from the hub`)
    return Readable.fromWeb(response.body as never)
  }

  async #ask(path: string, request: RequestInit, signal: AbortSignal): Promise<Response> {
    const url = new URL(this.#hub.url)
    url.protocol = url.protocol.replace(/^ws/, 'http')
    const [way, query = ''] = path.split('?') as [string, string?]
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/${way}`
    url.search = query
    try {
      return await fetch(url, {
        ...request,
        headers: { ...request.headers, authorization: `Bearer ${this.#hub.token}` },
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
      })
    } catch (cause) {
      signal.throwIfAborted()
      const { cause: inner, message } = cause as Error
      throw new ErrandError(
        'unavailable',
        `The hub does not answer (${(inner as Error)?.message ?? message}).`,
        {
          cause,
        },
      )
    }
  }
}

/** The error that the hub answered, with its code where it has one. */
async function refusal(response: Response, what: string): Promise<ErrandError> {
  const text = (await response.text().catch(() => '')).slice(0, MAX_ANSWER)
  let code: ErrorCode = 'unavailable'
  let why = `it answered ${response.status}`
  try {
    const { error } = JSON.parse(text)
    if (Object.hasOwn(errorStatus, error.code)) code = error.code
    why = String(error.message)
  } catch {
    // A proxy's words are not the hub's.
  }
  return new ErrandError(code, `${what}: ${why}`)
}
