import { type Answer, type AnswerChunk, AnswerReader } from './answer.ts'
import type { Message } from './conversation.ts'
import { type CallFailure, callFailure } from './retrying-model.ts'
import type { Settings } from './settings.ts'
import type { Tool } from './tools/tool.ts'

const OPENAI_URL = 'https://api.openai.com/v1'

/** Result of one request; `answer` has the part that arrived. */
export type ModelReply =
  | { type: 'answered'; answer: Answer }
  | { type: 'failed'; answer: Answer; failure: CallFailure }
  | { type: 'canceled'; answer: Answer }

/** Receives each piece for people as it arrives. */
export type PieceListener = (piece: { text: string; thought: string }) => void

/** Calls a model by Chat Completions, one request at a time, without retries. */
export class Model {
  readonly #settings: Settings
  readonly #tools: readonly object[]

  constructor(settings: Settings, tools: readonly Tool[]) {
    this.#settings = settings
    this.#tools = tools.map(({ name, description, parameters }) => ({
      type: 'function',
      function: { name, description, parameters },
    }))
  }

  async ask(
    system: string,
    messages: readonly Message[],
    onPiece: PieceListener,
    signal: AbortSignal,
  ): Promise<ModelReply> {
    const body = JSON.stringify(this.#body(system, messages))
    const reader = new AnswerReader(body.length)
    const silence = new Silence(this.#settings.timeoutMs)
    let begun = false
    const ended = (thrown: unknown): ModelReply => {
      const { answer } = reader
      // The answer is complete, whatever happens after its end.
      if (answer.finish !== undefined) return { type: 'answered', answer }
      if (signal.aborted) return { type: 'canceled', answer }
      const error = silence.signal.aborted ? silence.signal.reason : thrown
      return { type: 'failed', answer, failure: this.#withModel(callFailure(error, begun)) }
    }
    try {
      const until = AbortSignal.any([signal, silence.signal])
      const response = await this.#post(body, until)
      begun = true
      for await (const chunk of chunksOf(response)) {
        silence.broken()
        onPiece(reader.take(chunk))
      }
      return ended(new Error('The stream of the answer stopped before its end.'))
    } catch (error) {
      return ended(error)
    } finally {
      silence.end()
    }
  }

  #body(system: string, messages: readonly Message[]): object {
    const { model, maxTokens, baseUrl } = this.#settings
    // Services other than OpenAI's know the older name of this field.
    const limit = baseUrl === undefined ? 'max_completion_tokens' : 'max_tokens'
    return {
      model,
      messages: [{ role: 'system', content: system }, ...messages],
      tools: this.#tools,
      stream: true,
      stream_options: { include_usage: true },
      ...(maxTokens === undefined ? {} : { [limit]: maxTokens }),
    }
  }

  async #post(body: string, signal: AbortSignal): Promise<Response> {
    const { apiKey, baseUrl = OPENAI_URL, organization, project } = this.#settings
    const headers = {
      Accept: 'application/json',
      'Content-Type': 'application/json',
      Authorization: `Bearer ${apiKey}`,
      ...(organization === undefined ? {} : { 'OpenAI-Organization': organization }),
      ...(project === undefined ? {} : { 'OpenAI-Project': project }),
    }
    const url = `${baseUrl.replace(/\/$/, '')}/chat/completions`
    const request = { method: 'POST', headers, body, signal }
    const response = await fetch(url, request).catch((cause: unknown) => {
      throw new Error('Connection error.', { cause })
    })
    if (response.ok) return response
    throw await refusalOf(response)
  }

  #withModel(failure: CallFailure): CallFailure {
    const { baseUrl, model } = this.#settings
    const { origin, pathname } = new URL(baseUrl ?? OPENAI_URL)
    return { ...failure, message: `${model} at ${origin}${pathname}: ${failure.message}` }
  }
}

/** Is thrown for an error that the service sends instead of an answer, or in the middle of one. */
class ServiceError extends Error {
  readonly status: number | undefined
  readonly headers: Headers
  readonly error: unknown
  readonly code: string | null | undefined

  /** `text` is used if the error has no message in the usual form. */
  constructor(headers: Headers, error: unknown, status?: number, text?: string) {
    const { message, code } = (error ?? {}) as { message?: unknown; code?: string | null }
    const output = message || error
    const words =
      typeof message === 'string' && message !== '' ? message : output ? JSON.stringify(output) : text
    super(
      [status, words || (status ? 'status code (no body)' : '(no status code or body)')]
        .filter(Boolean)
        .join(' '),
    )
    this.status = status
    this.headers = headers
    this.error = error
    this.code = code
  }
}

async function refusalOf(response: Response): Promise<ServiceError> {
  const text = await response.text().catch(String)
  try {
    const { error } = JSON.parse(text) as { error?: unknown }
    return new ServiceError(response.headers, error, response.status)
  } catch {
    return new ServiceError(response.headers, undefined, response.status, text)
  }
}

/** Yields the pieces of a streamed answer. Throws `ServiceError` if one of them is an error. */
async function* chunksOf({ body, headers }: Response): AsyncGenerator<AnswerChunk> {
  if (body === null) throw new Error('The answer has no body.')
  const { EventSourceParserStream } = await import('eventsource-parser/stream')
  const events = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  let done = false
  for await (const { data } of events) {
    done ||= data.startsWith('[DONE]')
    if (done) continue
    const chunk = JSON.parse(data) as (AnswerChunk & { error?: unknown }) | null
    if (chunk?.error) throw new ServiceError(headers, chunk.error)
    if (chunk !== null) yield chunk
  }
}

/** Aborts its signal when nothing arrives for the given time. */
class Silence {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(ms: number) {
    this.#timer = setTimeout(() => {
      this.#controller.abort(new Error(`The model's service sent nothing for ${ms / 1000} s.`))
    }, ms)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  broken(): void {
    this.#timer.refresh()
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}
