import { ErrandError } from '../contract/errors.ts'
import type { EventOf, RunEvent, StepPhase } from '../contract/events.ts'
import { isFinalRun, isFinalStep, type StepStatus } from '../contract/status.ts'
import { foldTalk, freshTalk } from './inputs.ts'
import type { AttemptState, InstanceState, RunState, StepState } from './state.ts'
import { move } from './transitions.ts'
import { mergeExports, setVariables } from './variables.ts'

/** Folds one event into the state, in place, and answers it. Throws for an event that cannot come here. */
export function evolve(state: RunState, event: RunEvent): RunState {
  if (event.seq !== state.seq + 1)
    throw new ErrandError('internal', `Event ${event.seq} follows event ${state.seq}: the log has a hole.`)
  fold(state, event)
  state.seq = event.seq
  return state
}

function fold(state: RunState, event: RunEvent): void {
  switch (event.type) {
    case 'run.created':
      state.created_at = event.time
      setVariables(state.vars, event.vars)
      return
    case 'run.waiting':
      state.waiting = event.why
      return
    case 'run.started':
      state.status = move('run', '', state.status, 'running')
      state.started_at = event.time
      state.waiting = undefined
      return
    case 'run.cancel_requested':
      requestCancel(state, event)
      return
    case 'run.timed_out':
      state.timed_out = true
      return
    case 'run.finished':
      finishRun(state, event)
      return
    case 'step.started':
      startStep(state, event)
      return
    case 'step.skipped':
      endStep(state, event, 'skipped')
      return
    case 'step.finished':
      endStep(state, event, event.status)
      return
    case 'attempt.created':
      createAttempt(state, event)
      return
    case 'attempt.waiting':
      setWaiting(state, attemptOf(state, event.attempt), event.why)
      return
    case 'attempt.assigned': {
      const attempt = attemptOf(state, event.attempt)
      attempt.runner = event.runner
      attempt.epoch = event.epoch
      attempt.started = false
      attempt.reports = 0
      attempt.at = undefined
      setWaiting(state, attempt, undefined)
      return
    }
    case 'attempt.started':
      attemptOf(state, event.attempt).started = true
      attemptOf(state, event.attempt).reports++
      return
    case 'attempt.phase': {
      const attempt = attemptOf(state, event.attempt)
      attempt.reports++
      attempt.at = { name: event.phase, message: event.message, since: event.time }
      if (event.phase === 'restarting') attempt.restarts = (attempt.restarts ?? 0) + 1
      return
    }
    case 'agent.update':
    case 'input.given':
    case 'input.taken':
      foldTalk(attemptOf(state, event.attempt), event)
      return
    case 'attempt.cancel_requested':
      attemptOf(state, event.attempt).cancel = event.reason
      return
    case 'output':
      attemptOf(state, event.attempt).streams[event.stream] = event.offset + event.length
      return
    case 'attempt.finished':
      finishAttempt(state, event)
      return
    case 'approval.requested': {
      const instance = instanceOf(state, event)
      setStatus(stepOf(state, event.phase, event.step), instance, 'waiting')
      instance.approval = { message: event.message, expires_at: event.expires_at }
      return
    }
    case 'approval.answered': {
      const instance = instanceOf(state, event)
      const approved = event.decision === 'approve'
      setStatus(stepOf(state, event.phase, event.step), instance, approved ? 'success' : 'failed')
      if (approved) return
      instance.reason = event.reason ?? 'rejected'
      instance.message = event.reason
        ? event.comment
        : `rejected${event.by ? ` by ${event.by}` : ''}${event.comment ? `: ${event.comment}` : ''}`
      return
    }
    case 'child.started': {
      const instance = instanceOf(state, event)
      setStatus(stepOf(state, event.phase, event.step), instance, 'waiting')
      instance.child = event.run_id
      return
    }
    case 'child.finished':
      finishChild(state, event)
      return
  }
}

export function stepOf(state: RunState, phase: StepPhase, name: string): StepState {
  const step = state[phase][state.positions[phase].get(name) ?? -1]
  if (!step)
    throw new ErrandError(
      'internal',
      `The event log names step "${name}" (${phase}), which the workflow has not.`,
    )
  return step
}

function attemptOf(state: RunState, number: number): AttemptState {
  const attempt = state.attempts[number - 1]
  if (!attempt)
    throw new ErrandError('internal', `The event log names attempt ${number}, which was never created.`)
  return attempt
}

function instanceOf(
  state: RunState,
  at: { phase: StepPhase; step: string; instance: number },
): InstanceState {
  const instance = stepOf(state, at.phase, at.step).instances[at.instance]
  if (!instance)
    throw new ErrandError('internal', `The event log names instance ${at.instance} of step "${at.step}".`)
  return instance
}

function setStatus(step: StepState, instance: InstanceState, to: StepStatus): void {
  const from = instance.status
  instance.status = move('instance', `of step "${step.name}" on ${instance.host}`, from, to)
  count(step, from, -1)
  count(step, to, 1)
  if (!isFinalStep(to)) return
  // Nothing that has ended still waits for an answer or a next try.
  instance.approval = undefined
  instance.retry_at = undefined
  while (isFinalStep(step.instances[step.first_open]?.status ?? 'queued')) step.first_open++
}

function count({ tally }: StepState, status: StepStatus, by: number): void {
  tally[status] = (tally[status] ?? 0) + by
}

function setWaiting(state: RunState, attempt: AttemptState, why: string | undefined): void {
  attempt.waiting = why
  if (why === undefined) state.unplaced.delete(attempt.number)
  else state.unplaced.add(attempt.number)
}

/** What settled the run before it keeps its word: the first cause wins. */
function requestCancel(state: RunState, { force, by, message }: EventOf<'run.cancel_requested'>): void {
  const late = state.cancel?.late ?? (state.timed_out || state.first_open >= state.main.length)
  state.cancel = { force, late, by, message }
}

function startStep(state: RunState, event: EventOf<'step.started'>): void {
  const step = stepOf(state, event.phase, event.step)
  step.status = move('step', `"${step.name}"`, step.status, 'running')
  step.started_at = event.time
  step.instances = event.instances.map((instance) => ({
    ...instance,
    status: instance.carried ? 'success' : 'queued',
    exports: instance.carried,
    attempts: [],
  }))
  for (const instance of step.instances) count(step, instance.status, 1)
  while (isFinalStep(step.instances[step.first_open]?.status ?? 'queued')) step.first_open++
}

function endStep(
  state: RunState,
  event: EventOf<'step.skipped'> | EventOf<'step.finished'>,
  status: StepStatus,
): void {
  const step = stepOf(state, event.phase, event.step)
  step.status = move('step', `"${step.name}"`, step.status, status)
  step.reason = event.reason
  step.message = event.message
  step.finished_at = event.time
  for (const instance of step.instances)
    if (!isFinalStep(instance.status)) setStatus(step, instance, 'canceled')
  if (event.phase !== 'main') return
  mergeExports(state.vars, step.instances)
  const index = state.positions.main.get(step.name)!
  state.finished_order.push(index)
  state.ready.delete(index)
  for (const dependent of step.dependents) {
    const next = state.main[dependent]!
    if (--next.open_needs === 0 && !isFinalStep(next.status)) state.ready.add(dependent)
  }
  while (state.first_open < state.main.length && isFinalStep(state.main[state.first_open]!.status))
    state.first_open++
}

function createAttempt(state: RunState, event: EventOf<'attempt.created'>): void {
  const instance = instanceOf(state, event)
  if (event.attempt !== state.attempts.length + 1)
    throw new ErrandError('internal', `Attempt ${event.attempt} follows attempt ${state.attempts.length}.`)
  const step = stepOf(state, event.phase, event.step)
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
    epoch: event.epoch,
    started: false,
    reports: 0,
    streams: {},
    talk: step.inputs ? freshTalk() : undefined,
  }
  state.attempts.push(attempt)
  setWaiting(state, attempt, event.waiting)
}

function finishAttempt(state: RunState, event: EventOf<'attempt.finished'>): void {
  const attempt = attemptOf(state, event.attempt)
  attempt.talk = undefined
  const { outcome, streams, output_files, usage } = event
  attempt.end = { outcome, streams, output_files, usage }
  setWaiting(state, attempt, undefined)
  const instance = instanceOf(state, attempt)
  if (isFinalStep(instance.status)) return
  instance.reason = event.reason
  instance.message = event.message
  instance.exit_code = event.exit_code
  instance.duration_ms = event.duration_ms
  instance.exports = event.exports
  setStatus(stepOf(state, attempt.phase, attempt.step), instance, event.retry_at ? 'waiting' : event.outcome)
  instance.retry_at = event.retry_at ? Date.parse(event.retry_at) : undefined
}

function finishChild(state: RunState, event: EventOf<'child.finished'>): void {
  const instance = instanceOf(state, event)
  const ended = event.status === 'success' ? 'success' : event.status === 'canceled' ? 'canceled' : 'failed'
  setStatus(stepOf(state, event.phase, event.step), instance, ended)
  instance.exports = event.outputs
  if (ended === 'success') return
  instance.reason = ended === 'canceled' ? 'canceled' : 'child_failed'
  instance.message = event.message
}

/** A run may be ended from outside (`interrupted`): whatever was open in it ends with it. */
function finishRun(state: RunState, event: EventOf<'run.finished'>): void {
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
