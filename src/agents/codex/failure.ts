import type { ModelFailure } from '../../contract/agent.ts'
import { type JsonObject, object, parsedObject, string } from '../acp/json-shape.ts'
import { modelFailureOf } from '../failure-text.ts'
import { failureOfStatus } from '../http-failure.ts'

const named: Record<string, ModelFailure> = {
  unauthorized: 'auth',
  usageLimitExceeded: 'rate_limit',
  rateLimitExceeded: 'rate_limit',
  serverOverloaded: 'overloaded',
  flexUnavailable: 'overloaded',
  policyCapacityUnavailable: 'overloaded',
  internalServerError: 'server_error',
  modelNotFound: 'bad_model',
  contextWindowExceeded: 'other',
  cyberPolicy: 'other',
  misalignmentPolicyViolation: 'other',
}

export interface CodexError {
  message: string
  failure: ModelFailure
}

/** An `error` of codex. Its message is at times the whole body of the service's answer. */
export function codexError(error: JsonObject): CodexError {
  const more = string(error.additionalDetails)
  const said = more ?? string(error.message) ?? 'unknown error'
  const body = object(parsedObject(said)?.error)
  const message = string(body?.message) ?? said
  return { message, failure: failureOf(error.codexErrorInfo, message) }
}

function failureOf(info: unknown, message: string): ModelFailure {
  if (typeof info === 'string' && named[info] !== undefined) return named[info]
  const [detail] = Object.values(object(info) ?? {})
  const status = object(detail)?.httpStatusCode
  if (typeof status === 'number') return failureOfStatus(status)
  // Codex appends the same cause to both, so the beginning decides.
  if (/^stream disconnected/i.test(message)) return 'broken_stream'
  if (/^connection failed/i.test(message)) return 'unreachable'
  if (/high demand/i.test(message)) return 'server_error'
  return modelFailureOf(message)
}

/** `Reconnecting... 2/3`: the number of the try; absent where codex would try for ever. */
export function retryNumber(error: JsonObject): number | undefined {
  const match = /(\d+)\/\d+/.exec(string(error.message) ?? '')
  return match === null ? undefined : Number(match[1])
}
