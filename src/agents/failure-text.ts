import type { ModelFailure } from '../contract/agent.ts'

/**
 * What the vendors' services and the agents write when a call of the model fails, most telling first. The agents
 * pass on the service's words and leave out its status code, so there is no better sign than the words.
 */
const patterns: readonly [ModelFailure, RegExp][] = [
  [
    'unreachable',
    /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|connection refused|could ?n[o']t connect|cannot connect|unable to connect|failed to connect|fetch failed|dns error|error sending request/i,
  ],
  [
    'broken_stream',
    /ECONNRESET|EPIPE|connection reset|socket hang up|unexpected EOF|premature close|terminated|stream (disconnected|closed|ended|was interrupted)|error decoding response body|incomplete (chunk|response|message)|interrupted due to a server error/i,
  ],
  [
    'auth',
    /\b40[13]\b|unauthori[sz]ed|forbidden|authentication|not logged in|log ?in required|(invalid|incorrect|missing|wrong|expired|no) (x-)?api[ -_]?key|invalid (bearer )?token|credentials/i,
  ],
  [
    'rate_limit',
    /\b429\b|rate.?limit|too many requests|quota|insufficient.(funds|credit|balance)|credit balance|usage limit/i,
  ],
  ['overloaded', /\b(529|503)\b|overloaded|at capacity|service unavailable/i],
  [
    'bad_model',
    /model[^.\n]{0,80}(not found|does ?n[o']t exist|not exist|not supported|not available|is invalid|unknown|no access)|(unknown|invalid|unsupported|no such) model/i,
  ],
  ['server_error', /\b5\d\d\b|internal server error|server (had an )?error|bad gateway|gateway time-?out|api_error/i],
]

export function modelFailureOf(text: string): ModelFailure {
  return patterns.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other'
}
