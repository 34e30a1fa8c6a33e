import type { EventOf } from '../contract/events.ts'
import { isFinalStep, type StepStatus } from '../contract/status.ts'
import { stepOf } from './find-in-state.ts'
import { setInstances, setStatus } from './instance-status.ts'
import type { RunState } from './state.ts'
import { move } from './transitions.ts'
import { mergeExports } from './variables.ts'

export function startStep(state: RunState, event: EventOf<'step.started'>): void {
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

export function endStep(
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
