import type { ModelFailure } from '../../contract/agent.ts'
import { modelFailureOf } from '../failure-text.ts'
import { failureOfStatus } from '../http-failure.ts'

/** Why a request to the model's service failed. */
export interface CallFailure {
  failure: ModelFailure
  message: string
  /** Another try may help. */
  passing: boolean
  /** As the service asks. */
  waitMs?: number
  /** The conversation is longer than the model takes. */
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

/** What the library throws has these, each or none. */
interface Thrown {
  status?: number
  code?: string | null
  headers?: Headers
  /** The service's own words; also where they came in the stream, without a status. */
  error?: unknown
  message?: string
  cause?: unknown
}

/** `begun`: the stream was there when it failed. */
export function callFailure(thrown: unknown, begun: boolean): CallFailure {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Thrown
  const message = wordsOf(thrown)
  const failure = failureOf(error, message, begun)
  return {
    failure,
    message,
    // A quota that is used up does not come back within a run.
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

/** Its message, and those of what caused it: the library's "Connection error." says nothing. */
function wordsOf(thrown: unknown): string {
  const words: string[] = []
  for (let each = thrown; each instanceof Error && words.length < 5; each = each.cause) {
    const { code } = each as NodeJS.ErrnoException
    const said = each.message || code || each.name
    if (!words.some((word) => word.includes(said))) words.push(said)
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
