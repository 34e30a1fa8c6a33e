import type { ModelFailure } from '../contract/agent.ts'

/** What a status of a model's service means. */
export function failureOfStatus(status: number): ModelFailure {
  if (status === 401 || status === 403) return 'auth'
  if (status === 404) return 'bad_model'
  if (status === 429) return 'rate_limit'
  if (status === 503 || status === 529) return 'overloaded'
  return status >= 500 ? 'server_error' : 'other'
}
