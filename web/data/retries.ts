import type { ChainLink, RetryPlan, RetryRun, RetryStep } from '../../src/contract/runs/retry.ts'
import { ask } from './api.ts'
import type { Run } from './runs.ts'

export type { ChainLink, RetryPlan, RetryRun, RetryStep }

/** How much of a run is done again; the narrowest first. */
export type Scope = 'instance' | 'from' | 'failed' | 'all'

/** The instance that a narrow retry is of. */
export interface Target {
  step: string
  /** Undefined: the step has one instance, or none. */
  only?: Pick<RetryRun, 'hosts' | 'instances'>
  /** The word for it, such as its host. */
  word: string
}

/** A scope as the API takes it. */
export function askedOf(scope: Scope, target: Target | undefined): RetryRun {
  if (scope === 'instance' && target !== undefined) return { step: target.step, ...target.only }
  if (scope === 'from' && target !== undefined) return { from: target.step }
  return { only: scope === 'failed' ? 'failed' : 'all' }
}

const of = (id: string) => `/api/runs/${encodeURIComponent(id)}`

/** The plan of such a retry: what it would take over and run; nothing is begun. */
export const planRetry = (id: string, body: RetryRun, signal?: AbortSignal) =>
  ask<RetryPlan>('POST', `${of(id)}/retry-plan`, { body, signal })
export const beginRetry = (id: string, body: RetryRun, idempotencyKey: string) =>
  ask<Run>('POST', `${of(id)}/retry`, { body, idempotencyKey })
