import { ErrandError } from '../contract/errors.ts'
import type { StepPhase } from '../contract/events.ts'
import type { AttemptState, InstanceState, RunState, StepState } from './state.ts'

/** Returns what an event speaks of. Each throws where the state has no such thing: then the log is not this run's. */
export function stepOf(state: RunState, phase: StepPhase, name: string): StepState {
  const step = state[phase][state.positions[phase].get(name) ?? -1]
  if (!step)
    throw new ErrandError(
      'internal',
      `The event log names step "${name}" (${phase}), which the workflow has not.`,
    )
  return step
}

export function instanceOf(
  state: RunState,
  at: { phase: StepPhase; step: string; instance: number },
): { step: StepState; instance: InstanceState } {
  const step = stepOf(state, at.phase, at.step)
  const instance = step.instances[at.instance]
  if (!instance)
    throw new ErrandError('internal', `The event log names instance ${at.instance} of step "${at.step}".`)
  return { step, instance }
}

export function attemptOf(state: RunState, number: number): AttemptState {
  const attempt = state.attempts[number - 1]
  if (!attempt)
    throw new ErrandError('internal', `The event log names attempt ${number}, which was never created.`)
  return attempt
}
