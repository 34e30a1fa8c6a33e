import { ErrandError } from '../../contract/errors.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import type { Share } from '../../contract/runs/shares.ts'
import { isFinalRun, isFinalStep, type StepStatus } from '../../contract/status.ts'
import { foldLate, foldTalk, freshTalk } from './inputs.ts'
import { foldSession } from './list-row.ts'
import {
  type AttemptState,
  attemptOf,
  instanceOf,
  isSameShare,
  mergeExports,
  type RunState,
  type StepState,
  setVariables,
  stepOf,
} from './state.ts'
import { move, moveAttempt, setInstances, setStatus } from './transitions.ts'
import { setWaits, updateActivity } from './work.ts'

/** Folds one event into the state, in place. Throws for an event that is not possible here. */
export function evolve(state: RunState, event: RunEvent): void {
  if (event.seq !== state.seq + 1)
    throw new ErrandError(
      'internal',
      `Event ${event.seq} follows event ${state.seq}: events are missing from the log.`,
    )
  fold(state, event)
  foldWork(state, event)
  state.seq = event.seq
}

function fold(state: RunState, event: RunEvent): void {
  switch (event.type) {
    case 'run.created':
      return void createRun(state, event)
    case 'run.waiting':
      state.waiting = event.why
      return
    case 'run.started':
      return void startRun(state, event)
    case 'run.cancel_requested':
      return void requestCancel(state, event)
    case 'run.shared':
    case 'run.unshared':
      state.shares = sharesAfter(state.shares, event)
      return
    case 'run.timed_out':
      state.timed_out = true
      return
    case 'run.finished':
      return void finishRun(state, event)
    case 'step.started':
      return void startStep(state, event)
    case 'step.skipped':
      return void endStep(state, event, 'skipped')
    case 'step.finished':
      return void endStep(state, event, event.status)
    case 'attempt.created':
      return void createAttempt(state, event)
    case 'attempt.waiting':
      return void waitAttempt(state, event)
    case 'attempt.assigned':
      return void assignAttempt(state, event)
    case 'attempt.started':
      return void startAttempt(state, event)
    case 'attempt.phase':
      return void setPhase(state, event)
    case 'agent.update':
      foldSession(state, event.update)
      return void foldTalk(attemptOf(state, event.attempt), event)
    case 'input.given':
    case 'input.taken':
      return void foldTalk(attemptOf(state, event.attempt), event)
    case 'input.passed_on':
    case 'input.dropped':
      return void foldLate(attemptOf(state, event.attempt), event)
    case 'network.refused':
    case 'network.used':
      return void foldNetwork(state, event)
    case 'artifact.kept':
    case 'git.pushed':
    case 'pull_request.changed':
    case 'test.results':
      return void foldFact(attemptOf(state, event.attempt), event)
    case 'attempt.secrets':
      attemptOf(state, event.attempt).secrets = event.secrets
      return
    case 'attempt.cancel_requested':
      return void cancelAttempt(state, event)
    case 'output':
      attemptOf(state, event.attempt).streams[event.stream] = event.offset + event.length
      return
    case 'attempt.finished':
      return void finishAttempt(state, event)
    case 'approval.requested':
      return void requestApproval(state, event)
    case 'approval.answered':
      return void answerApproval(state, event)
    case 'child.started':
      return void startChild(state, event)
    case 'child.finished':
      return void finishChild(state, event)
  }
}

/** Updates the waits and work of the instances that an event concerns. */
function foldWork(state: RunState, event: RunEvent): void {
  switch (event.type) {
    case 'run.created':
      return void setWaits(state.work, true, Date.parse(event.time))
    case 'run.started':
      return void setWaits(state.work, false, Date.parse(event.time))
    case 'run.finished':
      for (const step of [...state.main, ...state.rollback, ...state.finally])
        if (step !== undefined) leaveAll(state, step, event.time)
      return void setWaits(state.work, false, Date.parse(event.time))
    case 'step.skipped':
    case 'step.finished':
      return void leaveAll(state, stepOf(state, event.phase, event.step), event.time)
    case 'approval.requested':
    case 'approval.answered':
    case 'child.started':
    case 'child.finished':
    case 'attempt.created': {
      const { step, instance } = instanceOf(state, event)
      return void updateActivity(state, step, instance, event.time)
    }
    case 'attempt.waiting':
    case 'attempt.assigned':
    case 'attempt.phase':
    case 'agent.update':
    case 'input.given':
    case 'input.taken':
    case 'attempt.finished': {
      const { step, instance } = instanceOf(state, attemptOf(state, event.attempt))
      return void updateActivity(state, step, instance, event.time)
    }
  }
}

/** Ends all work and waits of a step that has ended. */
function leaveAll(state: RunState, step: StepState, time: string): void {
  const { works, waits, asks } = step.work
  if (works + waits + asks > 0)
    for (const instance of step.instances) updateActivity(state, step, instance, time)
}

function createRun(state: RunState, event: EventOf<'run.created'>): void {
  state.created_at = event.time
  setVariables(state.vars, event.vars)
}

function startRun(state: RunState, event: EventOf<'run.started'>): void {
  state.status = move('run', '', state.status, 'running')
  state.started_at = event.time
  state.waiting = undefined
}

/** Returns the shares of a run after this event; undefined for none. */
export function sharesAfter(
  shares: readonly Share[] = [],
  event: Pick<EventOf<'run.shared' | 'run.unshared'>, 'type' | 'user' | 'role' | 'by' | 'time'> & {
    can?: Share['can']
  },
): readonly Share[] | undefined {
  const { type, user, role, by, time: at, can = 'watch' } = event
  const others = shares.filter((share) => !isSameShare(share, { user, role }))
  if (type === 'run.unshared') return others.length === 0 ? undefined : others
  return [...others, { ...(user === undefined ? { role } : { user }), can, by, at }]
}

/** Folds a cancel. A run whose outcome was settled before keeps it: the first cause wins. */
function requestCancel(state: RunState, { force, by, message }: EventOf<'run.cancel_requested'>): void {
  const late = state.cancel?.late ?? (state.timed_out || state.first_open >= state.main.length)
  state.cancel = { force, late, by, message }
}

/** Folds the end of a run. It may come from outside (`interrupted`): whatever was open in the run ends with it. */
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

function startStep(state: RunState, event: EventOf<'step.started'>): void {
  const step = stepOf(state, event.phase, event.step)
  step.status = move('step', `"${step.name}"`, step.status, 'running')
  step.started_at = event.time
  setInstances(
    step,
    event.instances.map(({ ended, ...instance }) => ({
      ...instance,
      ...(ended ?? { status: instance.carried ? 'success' : 'queued' }),
      exports: instance.carried,
      attempts: [],
    })),
  )
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

/** Folds an approval request: its instance waits for a person, not for a machine. */
function requestApproval(state: RunState, event: EventOf<'approval.requested'>): void {
  const { step, instance } = instanceOf(state, event)
  setStatus(step, instance, 'waiting')
  const { message, expires_at, on_timeout, comment_as, approvers } = event
  instance.approval = { message, expires_at, on_timeout, comment_as, approvers }
  if (state.asked.open++ === 0) state.asked.since_ms = Date.parse(event.time)
}

function answerApproval(state: RunState, event: EventOf<'approval.answered'>): void {
  const { step, instance } = instanceOf(state, event)
  const { asked } = state
  // The clock may have been set back meanwhile.
  if (--asked.open === 0) asked.before_ms += Math.max(0, Date.parse(event.time) - asked.since_ms)
  const approved = event.decision === 'approve'
  const variable = instance.approval?.comment_as
  const comment = approved || event.reason !== undefined ? '' : (event.comment ?? '').trim()
  const goesOn = approved || (variable !== undefined && comment !== '')
  setStatus(step, instance, goesOn ? 'success' : 'failed')
  const { decision, by, time: at } = event
  instance.answered = { decision, by, at, comment: event.comment }
  if (variable !== undefined) instance.exports = { [variable]: comment }
  if (goesOn) return
  instance.reason = event.reason ?? 'rejected'
  instance.message = event.reason
    ? event.comment
    : `rejected${event.by ? ` by ${event.by}` : ''}${event.comment ? `: ${event.comment}` : ''}`
}

function startChild(state: RunState, event: EventOf<'child.started'>): void {
  const { step, instance } = instanceOf(state, event)
  setStatus(step, instance, 'waiting')
  instance.child = event.run_id
}

function finishChild(state: RunState, event: EventOf<'child.finished'>): void {
  const { step, instance } = instanceOf(state, event)
  const ended = event.status === 'success' ? 'success' : event.status === 'canceled' ? 'canceled' : 'failed'
  setStatus(step, instance, ended)
  instance.exports = event.outputs
  if (ended === 'success') return
  instance.reason = ended === 'canceled' ? 'canceled' : 'child_failed'
  instance.message = event.message
}

function createAttempt(state: RunState, event: EventOf<'attempt.created'>): void {
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
    of_group: ofGroup(event),
    started: false,
    created_ms: Date.parse(event.time),
    reports: 0,
    streams: {},
    talk: step.inputs ? freshTalk() : undefined,
  }
  state.attempts.push(attempt)
  setWaiting(state, attempt, event.waiting)
}

/** Returns the requirements of the runner group that the attempt was placed in. */
const ofGroup = ({ isolation, network }: EventOf<'attempt.created'> | EventOf<'attempt.assigned'>) => ({
  ...(isolation !== undefined && { isolation }),
  ...(network !== undefined && { network }),
})

function waitAttempt(state: RunState, event: EventOf<'attempt.waiting'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'waiting')
  setWaiting(state, attempt, event.why)
}

/** Sets why an attempt waits; undefined when it no longer waits. */
function setWaiting(state: RunState, attempt: AttemptState, why: string | undefined): void {
  attempt.waiting = why
  if (why === undefined) state.unplaced.delete(attempt.number)
  else state.unplaced.add(attempt.number)
}

function assignAttempt(state: RunState, event: EventOf<'attempt.assigned'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'assigned')
  attempt.runner = event.runner
  attempt.storage_id = event.storage_id
  attempt.epoch = event.epoch
  attempt.of_group = ofGroup(event)
  attempt.got = undefined
  attempt.started = false
  attempt.reports = 0
  attempt.at = undefined
  setWaiting(state, attempt, undefined)
}

function startAttempt(state: RunState, event: EventOf<'attempt.started'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'started')
  attempt.started = true
  attempt.started_ms = Date.parse(event.time)
  attempt.reports++
  const { isolation, made_box, network } = event
  attempt.got = isolation || made_box ? { isolation, made_box, network } : undefined
}

function setPhase(state: RunState, event: EventOf<'attempt.phase'>): void {
  const attempt = attemptOf(state, event.attempt)
  attempt.reports++
  const { phase: name, message, reason, time: since } = event
  attempt.at = { name, message, reason, since }
  if (name === 'restarting' && reason !== 'engine_restarted') attempt.restarts = (attempt.restarts ?? 0) + 1
}

/** Most hosts that a run's view names: for each attempt, and in all; the log has every one. */
const MAX_HOSTS = { attempt: 200, run: 2000 }

function foldNetwork(state: RunState, event: EventOf<'network.refused'> | EventOf<'network.used'>): void {
  const attempt = attemptOf(state, event.attempt)
  attempt.reports++
  if (event.type === 'network.used') return
  const { to: host, port, why, count } = event
  attempt.refused ??= []
  const known = attempt.refused.find((each) => each.host === host && each.port === port)
  if (known) Object.assign(known, { why, count: known.count + count })
  else if (attempt.refused.length < MAX_HOSTS.attempt && state.refused_hosts < MAX_HOSTS.run) {
    attempt.refused.push({ host, port, why, count })
    state.refused_hosts++
  }
}

type FactEvent = EventOf<'artifact.kept' | 'git.pushed' | 'pull_request.changed' | 'test.results'>

function foldFact(attempt: AttemptState, event: FactEvent): void {
  attempt.reports++
  attempt.facts ??= {}
  const { facts } = attempt
  switch (event.type) {
    case 'artifact.kept':
      facts.artifacts = [...(facts.artifacts ?? []), event.artifact]
      return
    case 'git.pushed': {
      const { repo, branch, sha, forced } = event
      facts.pushed = { repo, branch, sha, forced }
      return
    }
    case 'pull_request.changed':
      facts.pull_request = event.pull_request
      return
    case 'test.results':
      facts.tests = [...(facts.tests ?? []), event.tests]
      return
  }
}

function cancelAttempt(state: RunState, event: EventOf<'attempt.cancel_requested'>): void {
  const attempt = attemptOf(state, event.attempt)
  attempt.cancel = event.reason
  attempt.cancel_message = event.message
}

function finishAttempt(state: RunState, event: EventOf<'attempt.finished'>): void {
  const attempt = attemptOf(state, event.attempt)
  moveAttempt(attempt, 'ended')
  attempt.talk = undefined
  attempt.ended_ms = Date.parse(event.time)
  const { outcome, streams, output_files, usage, denied } = event
  attempt.end = { outcome, streams, output_files, usage, denied }
  setWaiting(state, attempt, undefined)
  const { step, instance } = instanceOf(state, attempt)
  if (isFinalStep(instance.status)) return
  instance.reason = event.reason
  instance.message = event.message
  instance.exit_code = event.exit_code
  instance.last_error_line = event.last_error_line
  instance.duration_ms = event.duration_ms
  instance.exports = event.exports
  setStatus(step, instance, event.retry_at ? 'waiting' : event.outcome)
  instance.retry_at = event.retry_at ? Date.parse(event.retry_at) : undefined
}
