import type { ChainLink, RetryPlan, RetryRun, RetryStep } from '../../src/contract/runs/retry.ts'
import { ask } from './api.ts'
import type { Run } from './runs.ts'

export type { ChainLink, RetryPlan, RetryRun, RetryStep }

/** Says how much of a run is repeated, from narrow to wide. */
export type Scope = 'instance' | 'from' | 'failed' | 'all'

/** The instance that a narrow retry starts from. */
export interface Target {
  step: string
  /** Absent if the step has at most one instance. */
  only?: Pick<RetryRun, 'hosts' | 'instances'>
  /** The label of the instance, such as its host. */
  word: string
}

/** Returns a scope in the form that the API takes. */
export function retryOf(scope: Scope, target: Target | undefined): RetryRun {
  if (scope === 'instance' && target !== undefined) return { step: target.step, ...target.only }
  if (scope === 'from' && target !== undefined) return { from: target.step }
  return { only: scope === 'failed' ? 'failed' : 'all' }
}

const of = (id: string) => `/api/runs/${encodeURIComponent(id)}`

/** Asks for the plan of such a retry: what it would take over and what it would run. Starts nothing. */
export const planRetry = (id: string, body: RetryRun, signal?: AbortSignal) =>
  ask<RetryPlan>('POST', `${of(id)}/retry-plan`, { body, signal })
export const beginRetry = (id: string, body: RetryRun, idempotencyKey: string) =>
  ask<Run>('POST', `${of(id)}/retry`, { body, idempotencyKey })
