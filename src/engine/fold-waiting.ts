import type { EventOf } from '../contract/events.ts'
import { instanceOf } from './find-in-state.ts'
import { setStatus } from './instance-status.ts'
import type { RunState } from './state.ts'

/** Folds what no machine carries out: its instances wait for a person, or for another run. */
export function requestApproval(state: RunState, event: EventOf<'approval.requested'>): void {
  const { step, instance } = instanceOf(state, event)
  setStatus(step, instance, 'waiting')
  instance.approval = { message: event.message, expires_at: event.expires_at }
}

export function answerApproval(state: RunState, event: EventOf<'approval.answered'>): void {
  const { step, instance } = instanceOf(state, event)
  const approved = event.decision === 'approve'
  setStatus(step, instance, approved ? 'success' : 'failed')
  if (approved) return
  instance.reason = event.reason ?? 'rejected'
  instance.message = event.reason
    ? event.comment
    : `rejected${event.by ? ` by ${event.by}` : ''}${event.comment ? `: ${event.comment}` : ''}`
}

export function startChild(state: RunState, event: EventOf<'child.started'>): void {
  const { step, instance } = instanceOf(state, event)
  setStatus(step, instance, 'waiting')
  instance.child = event.run_id
}

export function finishChild(state: RunState, event: EventOf<'child.finished'>): void {
  const { step, instance } = instanceOf(state, event)
  const ended = event.status === 'success' ? 'success' : event.status === 'canceled' ? 'canceled' : 'failed'
  setStatus(step, instance, ended)
  instance.exports = event.outputs
  if (ended === 'success') return
  instance.reason = ended === 'canceled' ? 'canceled' : 'child_failed'
  instance.message = event.message
}
