import type { ModelFailure } from '../contract/agent.ts'
import { withoutEscapes } from '../platform/text.ts'

const unreachable =
  /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|connection refused|could ?n[o']t connect|(cannot|could not|unable to|failed to) connect|fetch failed|dns error|error sending request/i
const brokenStream =
  /ECONNRESET|EPIPE|connection reset|socket hang up|unexpected EOF|premature close|stream (disconnected|closed|ended|was interrupted)|error decoding response body|incomplete (chunk|response|message)|interrupted due to a server error/i
const status = /(?<![\w:.])(4(?:01|03|04|29)|5\d\d)(?![\w:])/

const words: readonly [ModelFailure, RegExp][] = [
  [
    'auth',
    /unauthori[sz]ed|forbidden|authentication|not logged in|log ?in required|(invalid|incorrect|missing|wrong|expired|no) (x-)?api[ -_]?key|invalid (bearer )?token|credentials/i,
  ],
  [
    'rate_limit',
    /rate.?limit|too many requests|quota|insufficient.(funds|credit|balance)|credit balance|usage limit/i,
  ],
  ['overloaded', /overloaded|at capacity|service unavailable/i],
  [
    'bad_model',
    /model[^.\n]{0,80}(not found|does ?n[o']t exist|not exist|not supported|not available|is invalid|unknown|no access)|(unknown|invalid|unsupported|no such) model/i,
  ],
  ['server_error', /internal server error|server (had an )?error|bad gateway|gateway time-?out|api_error/i],
]

/**
 * Returns why a call of the model failed, from the messages of services and agents. Some agents pass on a service's
 * message without its status code, so the message is the best evidence.
 */
export function modelFailureOf(text: string): ModelFailure {
  if (unreachable.test(text)) return 'unreachable'
  if (brokenStream.test(text)) return 'broken_stream'
  const code = status.exec(text)?.[1]
  if (code !== undefined) return failureOfStatus(Number(code))
  return words.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other'
}

/** Returns the kind of failure for an HTTP status of a model's service. */
export function failureOfStatus(status: number): ModelFailure {
  if (status === 401 || status === 403) return 'auth'
  if (status === 404) return 'bad_model'
  if (status === 429) return 'rate_limit'
  if (status === 503 || status === 529) return 'overloaded'
  return status >= 500 ? 'server_error' : 'other'
}

/** Returns the hint for an agent in a box without a key; `key` says how to provide one. */
export const signInApart = (key: string): string =>
  `${key}. Other logins are not available in a sandbox: start the runner or errand agent with ERRAND_SANDBOX_LOGIN=copy to copy ` +
  'them into it, or use isolation: none (--isolation none) to run the agent without a sandbox.'

/** Returns a clause that says how a program ended, followed by its last output to stderr. */
export function endingText(name: string, exit: { code?: number; signal?: string; stderr: string }): string {
  const how =
    exit.signal !== undefined
      ? `was ended by ${exit.signal}`
      : `ended${exit.code === undefined ? '' : ` with exit code ${exit.code}`}`
  const words = withoutEscapes(exit.stderr).trim()
  return `${name} ${how}${words === '' ? '' : `: ${words.slice(-2000)}`}`
}
