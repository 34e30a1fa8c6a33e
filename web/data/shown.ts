import type { Run, Step } from './runs.ts'

/**
 * The state that lists, headers and marks show for a run: a question or a wait takes precedence over the API's
 * status.
 */
export type Shown = Run['status'] | 'asks' | 'room' | 'skipped' | 'ahead' | 'waiting' | 'aside'

export function shownStatus(
  run: Pick<Run, 'status' | 'waiting' | 'waiting_since' | 'now' | 'set_aside'>,
): Shown {
  if (run.set_aside !== undefined) return 'aside'
  const open = run.status === 'queued' || run.status === 'running'
  if (open && run.now?.question !== undefined) return 'asks'
  // A run counts as running while any part of it is worked on, even if other parts wait.
  if (run.status === 'running' && run.waiting_since !== undefined)
    return run.waiting === undefined ? 'waiting' : 'room'
  return run.status
}

export function shownStep(
  step: Pick<Step, 'status' | 'waiting' | 'approval'> & Partial<Pick<Step, 'instances'>>,
): Shown {
  if (step.status === 'queued') return 'ahead'
  const isOpen = step.status === 'running' || step.status === 'waiting'
  if (isOpen && step.instances?.some(({ asks }) => asks)) return 'asks'
  if (step.status !== 'waiting') return step.status
  if (step.approval !== undefined) return 'asks'
  return step.waiting === undefined ? 'waiting' : 'room'
}
