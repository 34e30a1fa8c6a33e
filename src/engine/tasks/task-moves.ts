import { ErrandError } from '../../contract/errors.ts'
import type { TaskState } from '../../contract/tasks/task.ts'

/**
 * Every legal move of a task, from a state to those that may follow it. Final states lead only back to `pending`, by a
 * retry. ARCHITECTURE.md draws them.
 */
export const taskMoves: Readonly<Record<TaskState, readonly TaskState[]>> = {
  // A task that another system works on moves from here as that system reports.
  pending: ['blocked', 'running', 'waiting', 'in_review', 'done', 'no_change', 'failed', 'canceled'],
  blocked: ['pending', 'done', 'failed', 'canceled'],
  running: ['pending', 'waiting', 'in_review', 'done', 'no_change', 'failed', 'canceled'],
  waiting: ['pending', 'running', 'in_review', 'done', 'no_change', 'failed', 'canceled'],
  in_review: ['pending', 'running', 'done', 'failed', 'canceled'],
  // A retry.
  done: ['pending'],
  no_change: ['pending'],
  failed: ['pending'],
  canceled: ['pending'],
}

export const mayMove = (from: TaskState, to: TaskState): boolean => taskMoves[from].includes(to)

/** Returns `to`; throws for a move that is not in the table, since such a log is not Errand's. */
export function moveTask(from: TaskState, to: TaskState): TaskState {
  if (mayMove(from, to)) return to
  throw new ErrandError('internal', `The event log moves the task from ${from} to ${to}.`, {
    hint: 'The log is damaged, or was written by another version of Errand.',
  })
}
