import type { Reason, RunStatus, StepStatus } from '../../contract/status.ts'
import type { Plan } from './plan.ts'
import type { RunState, StepState } from './state.ts'

export interface Outcome<S> {
  status: S
  reason?: Reason
  message?: string
}

/**
 * Derives how a step ended from its instances: failed before interrupted before canceled. The first such instance gives
 * the reason.
 */
export function stepOutcome(step: StepState): Outcome<StepStatus> {
  for (const status of ['failed', 'interrupted', 'canceled'] as const) {
    const bad = step.instances.filter((instance) => instance.status === status)
    const first = bad[0]
    if (!first) continue
    const what = first.message ?? first.reason ?? status
    if (step.instances.length === 1) return { status, reason: first.reason, message: what }
    const message = `${bad.length} of ${step.instances.length} instances ${status}; ${first.host}: ${what}`
    return { status, reason: first.reason, message }
  }
  return { status: 'success' }
}

/** Reports whether steps that need this one must not run. */
export function blocks(plan: Plan, state: RunState, index: number): boolean {
  const { status, reason } = state.main[index]!
  if (status === 'skipped') return reason !== 'condition' && reason !== 'left_out'
  if (status === 'canceled') return true
  return status !== 'success' && !plan.main[index]!.step.continue_on_error
}

/** Returns the outcome of a run once its main steps are over; the first step that failed it gives the reason. */
export function mainOutcome(plan: Plan, state: RunState): Outcome<RunStatus> {
  if (state.cancel && !state.cancel.late)
    return { status: 'canceled', reason: 'canceled', message: state.cancel.message }
  if (state.timed_out)
    return {
      status: 'failed',
      reason: 'timeout',
      message: `The run took longer than ${plan.workflow.timeout_seconds} s.`,
    }
  for (const index of state.finished_order) {
    const step = state.main[index]!
    if (step.status === 'skipped' || !blocks(plan, state, index)) continue
    const status = step.status === 'interrupted' ? 'interrupted' : 'failed'
    return { status, reason: step.reason, message: endOf(step) }
  }
  return { status: 'success' }
}

/**
 * Returns the outcome of a run: that of its main steps, unless they succeeded and the run was canceled since, or failed
 * in `finally`.
 */
export function runOutcome(plan: Plan, state: RunState): Outcome<RunStatus> {
  const main = mainOutcome(plan, state)
  if (main.status !== 'success') return main
  if (state.cancel) return { status: 'canceled', reason: 'canceled', message: state.cancel.message }
  const bad = state.finally.find(
    (step, index) =>
      !['success', 'skipped'].includes(step.status) && !plan.finally[index]!.step.continue_on_error,
  )
  if (!bad) return main
  return {
    status: 'failed',
    reason: bad.reason,
    message: endOf(bad, ' (finally)'),
  }
}

/**
 * Formats `Step "x" failed: why`; within sub-workflows with the steps that lead there: `Step "outer > inner" failed:
 * why`.
 */
function endOf({ name, status, reason, message = '' }: StepState, where = ''): string {
  const within = /^Step "/
  return reason === 'child_failed' && within.test(message)
    ? message.replace(within, () => `Step "${name} > `)
    : `Step "${name}"${where} ${status}: ${message}`
}
