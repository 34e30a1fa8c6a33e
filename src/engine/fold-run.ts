import { ErrandError } from '../contract/errors.ts'
import type { EventOf } from '../contract/events.ts'
import { isFinalRun, isFinalStep } from '../contract/status.ts'
import { setStatus } from './instance-status.ts'
import type { RunState } from './state.ts'
import { move } from './transitions.ts'
import { setVariables } from './variables.ts'

export function createRun(state: RunState, event: EventOf<'run.created'>): void {
  state.created_at = event.time
  setVariables(state.vars, event.vars)
}

export function startRun(state: RunState, event: EventOf<'run.started'>): void {
  state.status = move('run', '', state.status, 'running')
  state.started_at = event.time
  state.waiting = undefined
}

/** Folds a cancel. Where the run was settled before, that keeps its word: the first cause wins. */
export function requestCancel(
  state: RunState,
  { force, by, message }: EventOf<'run.cancel_requested'>,
): void {
  const late = state.cancel?.late ?? (state.timed_out || state.first_open >= state.main.length)
  state.cancel = { force, late, by, message }
}

/** A run may be ended from outside (`interrupted`): whatever was open in it ends with it. */
export function finishRun(state: RunState, event: EventOf<'run.finished'>): void {
  if (!isFinalRun(event.status)) throw new ErrandError('internal', `run.finished says ${event.status}.`)
  state.status = move('run', '', state.status, event.status)
  Object.assign(state, {
    finished_at: event.time,
    reason: event.reason,
    message: event.message,
    outputs: event.outputs,
    waiting: undefined,
  })
  for (const step of [...state.main, ...state.rollback, ...state.finally]) {
    if (!step || isFinalStep(step.status)) continue
    const open = step.status === 'running'
    if (!open && step.phase === 'rollback') continue
    step.status = open ? 'interrupted' : 'skipped'
    step.reason = open ? 'interrupted' : 'upstream'
    for (const instance of step.instances)
      if (!isFinalStep(instance.status)) setStatus(step, instance, 'interrupted')
  }
}
