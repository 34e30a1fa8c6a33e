import { ErrandError } from '../contract/errors.ts'
import type { StepStatus } from '../contract/status.ts'

/** Every legal move, in one table: from a status to those that may follow it. A run has no `waiting`, `skipped`. */
const moves = {
  run: {
    queued: ['running', 'canceled', 'interrupted', 'failed'],
    running: ['success', 'failed', 'canceled', 'interrupted'],
  },
  step: {
    queued: ['running', 'skipped', 'interrupted'],
    running: ['success', 'failed', 'canceled', 'interrupted'],
  },
  instance: {
    queued: ['running', 'waiting', 'success', 'canceled', 'interrupted'],
    running: ['waiting', 'success', 'failed', 'canceled', 'interrupted'],
    waiting: ['running', 'success', 'failed', 'canceled', 'interrupted'],
  },
} as const satisfies Record<string, Partial<Record<StepStatus, readonly StepStatus[]>>>

export type Moving = keyof typeof moves

/** Answers `to`; throws for a move that is not in the table, since then the log is not one of ours. */
export function move<S extends StepStatus>(what: Moving, which: string, from: StepStatus, to: S): S {
  const allowed: Partial<Record<StepStatus, readonly StepStatus[]>> = moves[what]
  if (!allowed[from]?.includes(to))
    throw new ErrandError('internal', `The event log moves ${what} ${which} from ${from} to ${to}.`, {
      hint: 'The log is damaged, or was written by another version.',
    })
  return to
}
