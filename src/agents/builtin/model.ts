import type { OpenAI } from 'openai'
import type { ChatCompletionCreateParamsStreaming } from 'openai/resources/chat/completions'
import { type Answer, AnswerReader } from './answer.ts'
import { type CallFailure, callFailure } from './call-failure.ts'
import type { Message } from './message.ts'
import type { Settings } from './settings.ts'
import type { Tool } from './tools/tool.ts'

/** How one request ended; what came until then is in the answer. */
export type Asked =
  | { type: 'answered'; answer: Answer }
  | { type: 'failed'; answer: Answer; failure: CallFailure }
  | { type: 'canceled'; answer: Answer }

/** For people, as it comes. */
export type Heard = (piece: { text: string; thought: string }) => void

/** A model behind Chat Completions. One request at a time, and never one by itself. */
export class Model {
  readonly #settings: Settings
  readonly #tools: ChatCompletionCreateParamsStreaming['tools']
  #client: Promise<OpenAI> | undefined

  constructor(settings: Settings, tools: readonly Tool[]) {
    this.#settings = settings
    this.#tools = tools.map(({ name, description, parameters }) => ({
      type: 'function',
      function: { name, description, parameters },
    }))
  }

  async ask(system: string, messages: readonly Message[], heard: Heard, signal: AbortSignal): Promise<Asked> {
    this.#client ??= this.#connect()
    const client = await this.#client
    const reader = new AnswerReader()
    const silence = new Silence(this.#settings.timeoutMs)
    let begun = false
    const ended = (thrown: unknown): Asked => {
      const { answer } = reader
      // Whatever happens after its end, the answer is there.
      if (answer.finish !== undefined) return { type: 'answered', answer }
      if (signal.aborted) return { type: 'canceled', answer }
      const error = silence.signal.aborted ? silence.signal.reason : thrown
      return { type: 'failed', answer, failure: this.#told(callFailure(error, begun)) }
    }
    try {
      const stream = await client.chat.completions.create(this.#body(system, messages), {
        signal: AbortSignal.any([signal, silence.signal]),
      })
      begun = true
      for await (const chunk of stream) {
        silence.broken()
        heard(reader.take(chunk))
      }
      return ended(new Error('The stream of the answer stopped before its end.'))
    } catch (error) {
      return ended(error)
    } finally {
      silence.end()
    }
  }

  #body(system: string, messages: readonly Message[]): ChatCompletionCreateParamsStreaming {
    const { model, maxTokens, baseUrl } = this.#settings
    // Others than OpenAI know the older name of it.
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

  async #connect(): Promise<OpenAI> {
    const { OpenAI } = await import('openai')
    const { apiKey, baseUrl, organization, project } = this.#settings
    return new OpenAI({
      apiKey,
      // What is left undefined the library takes from the environment of the runner, which is not the step's.
      baseURL: baseUrl ?? null,
      organization: organization ?? null,
      project: project ?? null,
      adminAPIKey: null,
      webhookSecret: null,
      maxRetries: 0,
      // `Silence` keeps the time, the stream's as well.
      timeout: 2 ** 31 - 1,
      logLevel: 'off',
    })
  }

  #told(failure: CallFailure): CallFailure {
    const { baseUrl, model } = this.#settings
    const { origin, pathname } = new URL(baseUrl ?? 'https://api.openai.com/v1')
    return { ...failure, message: `${model} at ${origin}${pathname}: ${failure.message}` }
  }
}

/** Aborts once nothing was heard for the time given. */
class Silence {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(ms: number) {
    this.#timer = setTimeout(() => {
      this.#controller.abort(new Error(`The service of the model said nothing for ${ms / 1000} s.`))
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
