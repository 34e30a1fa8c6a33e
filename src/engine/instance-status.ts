import { isFinalStep, type StepStatus } from '../contract/status.ts'
import type { InstanceState, StepState } from './state.ts'
import { move } from './transitions.ts'

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
