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
 * Why a call of the model failed, from what vendors' services and agents write. Some agents pass on the service's
 * words and leave its status code out, so there is no better sign than the words.
 */
export function modelFailureOf(text: string): ModelFailure {
  if (unreachable.test(text)) return 'unreachable'
  if (brokenStream.test(text)) return 'broken_stream'
  const code = status.exec(text)?.[1]
  if (code !== undefined) return failureOfStatus(Number(code))
  return words.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other'
}

/** The meaning of a status of a model's service. */
export function failureOfStatus(status: number): ModelFailure {
  if (status === 401 || status === 403) return 'auth'
  if (status === 404) return 'bad_model'
  if (status === 429) return 'rate_limit'
  if (status === 503 || status === 529) return 'overloaded'
  return status >= 500 ? 'server_error' : 'other'
}

/** The hint where an agent in a box has no key; `key` says how it is given one. */
export const signInApart = (key: string): string =>
  `${key}. Other logins stay outside of a sandbox: ERRAND_SANDBOX_LOGIN=copy where the runner or errand agent is started puts a ` +
  'copy of them in, and isolation: none (--isolation none) runs the agent without a sandbox.'

/** How a program ended, and its last words, in one line of prose. */
export function endingText(name: string, exit: { code?: number; signal?: string; stderr: string }): string {
  const how =
    exit.signal !== undefined
      ? `was ended by ${exit.signal}`
      : `ended${exit.code === undefined ? '' : ` with exit code ${exit.code}`}`
  const words = withoutEscapes(exit.stderr).trim()
  return `${name} ${how}${words === '' ? '' : `: ${words.slice(-2000)}`}`
}
