import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentUpdate, ModelFailure } from '../../contract/agent.ts'
import { Backoff } from '../../platform/time.ts'
import { failureOfStatus, modelFailureOf } from '../failure.ts'
import type { Context, Message } from './conversation.ts'
import type { Model, ModelReply } from './model.ts'

const FIRST_RETRY_MS = 500
const LATEST_RETRY_MS = 30_000
/** Longest wait that a service may request; a longer one ends the retries. */
const LONGEST_WAIT_MS = 120_000

/** Calls the model until there is an answer, as long as a retry can help. */
export class RetryingModel {
  readonly #model: Model
  readonly #context: Context
  readonly #retries: number
  readonly #update: (update: AgentUpdate) => void

  constructor(model: Model, context: Context, retries: number, update: (update: AgentUpdate) => void) {
    this.#model = model
    this.#context = context
    this.#retries = retries
    this.#update = update
  }

  async ask(system: string, messages: readonly Message[], signal: AbortSignal): Promise<ModelReply> {
    const backoff = new Backoff({ firstMs: FIRST_RETRY_MS, maxMs: LATEST_RETRY_MS })
    for (let retry = 1; ; ) {
      let shown = false
      const onPiece = ({ text, thought }: { text: string; thought: string }) => {
        if (thought !== '') this.#update({ kind: 'thought', text: thought })
        if (text !== '') this.#update({ kind: 'message', text })
        shown ||= text !== '' || thought !== ''
      }
      const reply = await this.#model.ask(system, this.#context.view(messages), onPiece, signal)
      if (reply.type !== 'failed' || shown) return reply
      const { failure } = reply
      if (failure.tooLong && this.#context.tighten(messages)) continue
      const waitMs = failure.waitMs ?? backoff.next()
      if (!failure.passing || retry > this.#retries || waitMs > LONGEST_WAIT_MS) return reply
      this.#update({ kind: 'retry', failure: failure.failure, message: failure.message, attempt: retry++ })
      await sleep(waitMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return { type: 'canceled', answer: reply.answer }
    }
  }
}

/** Describes why a request to the model's service failed. */
export interface CallFailure {
  failure: ModelFailure
  message: string
  /** Whether another try may help. */
  passing: boolean
  /** Wait in milliseconds that the service asks for. */
  waitMs?: number
  /** Whether the conversation is longer than the model accepts. */
  tooLong: boolean
}

const passing: readonly ModelFailure[] = [
  'rate_limit',
  'overloaded',
  'server_error',
  'unreachable',
  'broken_stream',
]

const tooLong =
  /context.{0,20}(length|window|size)|too (many tokens|long)|(maximum|max|exceeds?).{0,40}tokens|prompt is too/i

/** Describes fields of thrown errors; each may be missing. */
interface Thrown {
  status?: number
  code?: string | null
  headers?: Headers
  /** Error object of the service; it may also come in the stream, without a status. */
  error?: unknown
  message?: string
  cause?: unknown
}

/** Classifies a thrown error; `begun` is true if the stream had started. */
export function callFailure(thrown: unknown, begun: boolean): CallFailure {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Thrown
  const message = wordsOf(thrown)
  const failure = failureOf(error, message, begun)
  return {
    failure,
    message,
    // A quota that is used up is not renewed within a run.
    passing: passing.includes(failure) && error.code !== 'insufficient_quota',
    waitMs: error.headers === undefined ? undefined : waitOf(error.headers),
    tooLong:
      error.code === 'context_length_exceeded' ||
      ((error.status === 400 || error.status === 413) && tooLong.test(message)),
  }
}

function failureOf({ status, code, error }: Thrown, message: string, begun: boolean): ModelFailure {
  if (code === 'model_not_found') return 'bad_model'
  if (status === 400) return modelFailureOf(message) === 'bad_model' ? 'bad_model' : 'other'
  if (status !== undefined) return failureOfStatus(status)
  if (error !== undefined) return modelFailureOf(`${code ?? ''} ${message}`)
  return begun ? 'broken_stream' : 'unreachable'
}

/** Returns the messages of an error and its causes, since "Connection error." alone says nothing. */
function wordsOf(thrown: unknown): string {
  const words: string[] = []
  for (let each = thrown; each instanceof Error && words.length < 5; each = each.cause) {
    const { code } = each as NodeJS.ErrnoException
    const text = each.message || code || each.name
    if (!words.some((word) => word.includes(text))) words.push(text)
  }
  return (words.join(': ') || String(thrown)).slice(0, 4000)
}

function waitOf(headers: Headers): number | undefined {
  const ms = Number.parseFloat(headers.get('retry-after-ms') ?? '')
  if (ms >= 0) return ms
  const after = headers.get('retry-after')
  if (after === null) return undefined
  const seconds = Number(after)
  const wait = Number.isNaN(seconds) ? Date.parse(after) - Date.now() : seconds * 1000
  return wait >= 0 ? wait : undefined
}
