import type { Run, Step } from './runs.ts'

/** What a list, a header and a mark show of a run: a question and waiting go before the API's status. */
export type Shown = Run['status'] | 'asks' | 'room' | 'skipped' | 'ahead' | 'waiting' | 'aside'

export function shownStatus(
  run: Pick<Run, 'status' | 'waiting' | 'waiting_since' | 'now' | 'set_aside'>,
): Shown {
  if (run.set_aside !== undefined) return 'aside'
  const open = run.status === 'queued' || run.status === 'running'
  if (open && run.now?.question !== undefined) return 'asks'
  // A run of which something is worked on runs, whatever else of it waits.
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
