import { ErrandError } from '../contract/errors.ts'
import type { EventOf } from '../contract/events.ts'
import { isFinalStep } from '../contract/status.ts'
import { attemptOf, instanceOf } from './find-in-state.ts'
import { freshTalk } from './inputs.ts'
import { setStatus } from './instance-status.ts'
import type { AttemptState, RunState } from './state.ts'
import { moveAttempt } from './transitions.ts'

export function createAttempt(state: RunState, event: EventOf<'attempt.created'>): void {
  const { step, instance } = instanceOf(state, event)
  if (event.attempt !== state.attempts.length + 1)
    throw new ErrandError('internal', `Attempt ${event.attempt} follows attempt ${state.attempts.length}.`)
  setStatus(step, instance, 'running')
  instance.retry_at = undefined
  instance.attempts.push(event.attempt)
  const attempt: AttemptState = {
    number: event.attempt,
    phase: event.phase,
    step: event.step,
    index: state.positions[event.phase].get(event.step)!,
    instance: event.instance,
    host: event.host,
    try: event.try,
    runner: event.runner,
    storage_id: event.storage_id,
    epoch: event.epoch,
    started: false,
    reports: 0,
    streams: {},
    talk: step.inputs ? freshTalk() : undefined,
  }
  state.attempts.push(attempt)
  setWaiting(state, attempt, event.waiting)
}

export function waitAttempt(state: RunState, event: EventOf<'attempt.waiting'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'waiting')
  setWaiting(state, attempt, event.why)
}

/** `why` undefined: it waits no longer. */
function setWaiting(state: RunState, attempt: AttemptState, why: string | undefined): void {
  attempt.waiting = why
  if (why === undefined) state.unplaced.delete(attempt.number)
  else state.unplaced.add(attempt.number)
}

export function assignAttempt(state: RunState, event: EventOf<'attempt.assigned'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'assigned')
  attempt.runner = event.runner
  attempt.storage_id = event.storage_id
  attempt.epoch = event.epoch
  attempt.started = false
  attempt.reports = 0
  attempt.at = undefined
  setWaiting(state, attempt, undefined)
}

export function startAttempt(state: RunState, event: EventOf<'attempt.started'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'started')
  attempt.started = true
  attempt.reports++
}

export function setPhase(state: RunState, event: EventOf<'attempt.phase'>): void {
  const attempt = attemptOf(state, event.attempt)
  attempt.reports++
  const { phase: name, message, reason, time: since } = event
  attempt.at = { name, message, reason, since }
  if (name === 'restarting' && reason !== 'engine_restarted') attempt.restarts = (attempt.restarts ?? 0) + 1
}

export function cancelAttempt(state: RunState, event: EventOf<'attempt.cancel_requested'>): void {
  const attempt = attemptOf(state, event.attempt)
  attempt.cancel = event.reason
  attempt.cancel_message = event.message
}

export function finishAttempt(state: RunState, event: EventOf<'attempt.finished'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'ended')
  attempt.talk = undefined
  const { outcome, streams, output_files, usage, denied } = event
  attempt.end = { outcome, streams, output_files, usage, denied }
  setWaiting(state, attempt, undefined)
  const { step, instance } = instanceOf(state, attempt)
  if (isFinalStep(instance.status)) return
  instance.reason = event.reason
  instance.message = event.message
  instance.exit_code = event.exit_code
  instance.duration_ms = event.duration_ms
  instance.exports = event.exports
  setStatus(step, instance, event.retry_at ? 'waiting' : event.outcome)
  instance.retry_at = event.retry_at ? Date.parse(event.retry_at) : undefined
}
