import { ErrandError } from '../../contract/errors.ts'
import { isFinalStep, type RunStatus, type StepStatus } from '../../contract/status.ts'
import type { AttemptState, InstanceState, StepState } from './state.ts'

/**
 * The progress of an attempt.
 * - `waiting`: it has no machine; a placement makes it `assigned`.
 * - `assigned`: it has a machine; the report of its start makes it `started`, a lost machine `waiting` again.
 * - `started`: it runs there; when its machine is gone it is `waiting`, or `assigned` to another one.
 * - `ended`: it is over; each of the others can lead here.
 */
export type AttemptStatus = 'waiting' | 'assigned' | 'started' | 'ended'

interface Statuses {
  run: RunStatus
  step: StepStatus
  instance: StepStatus
  attempt: AttemptStatus
}
type Moves = {
  readonly [W in keyof Statuses]: Readonly<Partial<Record<Statuses[W], readonly Statuses[W][]>>>
}

/**
 * Every legal move, from a status to those that may follow it. Final statuses have none. ARCHITECTURE.md draws them.
 */
export const moves: Moves = {
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
  attempt: {
    waiting: ['assigned', 'ended'],
    assigned: ['waiting', 'started', 'ended'],
    // Back to `waiting` or `assigned`: it is handed out again, because its machine is gone or no longer has it.
    started: ['waiting', 'assigned', 'ended'],
  },
}

/** Returns `to`; throws for a move that is not in the table, since such a log is not Errand's. */
export function move<W extends keyof Statuses, S extends Statuses[W]>(
  what: W,
  which: string,
  from: Statuses[W],
  to: S,
): S {
  if (!moves[what][from]?.includes(to))
    throw new ErrandError('internal', `The event log moves ${what} ${which} from ${from} to ${to}.`, {
      hint: 'The log is damaged, or was written by another version of Errand.',
    })
  return to
}

export function attemptStatus({ end, waiting, epoch, started }: AttemptState): AttemptStatus {
  if (end) return 'ended'
  if (waiting !== undefined || epoch === 0) return 'waiting'
  return started ? 'started' : 'assigned'
}

/** Moves an attempt. Throws as `move`. Waiting for another reason, or another assignment, is not a move. */
export function moveAttempt(attempt: AttemptState, to: AttemptStatus): void {
  const from = attemptStatus(attempt)
  if (from !== to || to === 'started' || to === 'ended') move('attempt', `${attempt.number}`, from, to)
}

/** Moves an instance of the step, and updates the step's tallies. */
export function setStatus(step: StepState, instance: InstanceState, to: StepStatus): void {
  const from = instance.status
  instance.status = move('instance', `of step "${step.name}" on ${instance.host}`, from, to)
  count(step, from, -1)
  count(step, to, 1)
  if (!isFinalStep(to)) return
  // An ended instance no longer waits for an answer or a next try.
  instance.approval = undefined
  instance.retry_at = undefined
  passFinal(step)
}

/** Adds instances to a step that has none. */
export function setInstances(step: StepState, instances: InstanceState[]): void {
  step.instances = instances
  for (const { status } of instances) count(step, status, 1)
  passFinal(step)
}

function count({ tally }: StepState, status: StepStatus, by: number): void {
  tally[status] = (tally[status] ?? 0) + by
}

function passFinal(step: StepState): void {
  while (isFinalStep(step.instances[step.first_open]?.status ?? 'queued')) step.first_open++
}
