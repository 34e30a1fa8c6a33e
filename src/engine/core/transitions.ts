import { ErrandError } from '../../contract/errors.ts'
import { isFinalStep, type RunStatus, type StepStatus } from '../../contract/status.ts'
import type { AttemptState, InstanceState, StepState } from './state.ts'

/** How far an attempt is: it has no machine, has one, is at it there, or is over. */
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

/** Every legal move: from a status to those that may follow it; final ones have none. ARCHITECTURE.md draws them. */
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
    // Back: it is handed out anew, since its machine is gone, or has it no more.
    started: ['waiting', 'assigned', 'ended'],
  },
}

/** Answers `to`; throws for a move that is not in the table, since then the log is not one of ours. */
export function move<W extends keyof Statuses, S extends Statuses[W]>(
  what: W,
  which: string,
  from: Statuses[W],
  to: S,
): S {
  if (!moves[what][from]?.includes(to))
    throw new ErrandError('internal', `The event log moves ${what} ${which} from ${from} to ${to}.`, {
      hint: 'The log is damaged, or was written by another version.',
    })
  return to
}

export function attemptStatus({ end, waiting, epoch, started }: AttemptState): AttemptStatus {
  if (end) return 'ended'
  if (waiting !== undefined || epoch === 0) return 'waiting'
  return started ? 'started' : 'assigned'
}

/** Throws as `move`. To wait for another reason, or to be assigned anew, is no move. */
export function moveAttempt(attempt: AttemptState, to: AttemptStatus): void {
  const from = attemptStatus(attempt)
  if (from !== to || to === 'started' || to === 'ended') move('attempt', `${attempt.number}`, from, to)
}

/** Moves an instance of the step, and what the step keeps of all its instances with it. */
export function setStatus(step: StepState, instance: InstanceState, to: StepStatus): void {
  const from = instance.status
  instance.status = move('instance', `of step "${step.name}" on ${instance.host}`, from, to)
  count(step, from, -1)
  count(step, to, 1)
  if (!isFinalStep(to)) return
  // Nothing that has ended still waits for an answer or a next try.
  instance.approval = undefined
  instance.retry_at = undefined
  passFinal(step)
}

/** Puts instances where there were none. */
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
