import type { AgentUpdateOf, ModelFailure } from '../../contract/agent.ts'
import { type JsonObject, string } from '../acp/json-shape.ts'
import { modelFailureOf } from '../failure-text.ts'
import { failureOfStatus } from '../http-failure.ts'

const named: Record<string, ModelFailure> = {
  authentication_failed: 'auth',
  billing_error: 'auth',
  rate_limit: 'rate_limit',
  overloaded: 'overloaded',
  model_not_found: 'bad_model',
}

/** `status`, and its own name for the error, of a `result` or an `api_retry`. */
export function claudeFailure(status: unknown, name: unknown, text: string): ModelFailure {
  if (typeof status === 'number') return failureOfStatus(status)
  const byText = modelFailureOf(text)
  return named[string(name) ?? ''] ?? byText
}

/** How a turn ended by a `result`. Its subtype is `success` even where the model could not be used. */
export function turnEnd(result: JsonObject, errorName: unknown): Omit<AgentUpdateOf<'turn_ended'>, 'kind'> {
  const errors = Array.isArray(result.errors) ? result.errors.filter((each) => typeof each === 'string') : []
  const message = string(result.result) ?? errors.join('\n')
  const failed = result.is_error === true || result.subtype !== 'success'
  if (result.subtype === 'error_max_turns') return { stop_reason: 'max_turns', message }
  if (result.stop_reason === 'refusal') return { stop_reason: 'refusal', message }
  if (result.api_error === 'max_output_tokens' || result.stop_reason === 'max_tokens')
    return { stop_reason: 'max_tokens', ...(failed ? { message } : {}) }
  if (!failed) return { stop_reason: 'end_turn' }
  const ofModel = result.terminal_reason === 'api_error' || typeof result.api_error_status === 'number'
  const failure = ofModel ? claudeFailure(result.api_error_status, errorName, message) : undefined
  return {
    stop_reason: 'error',
    message: message === '' ? 'Claude Code ended the turn for a reason it does not tell.' : message,
    ...(failure === undefined ? {} : { failure }),
  }
}
