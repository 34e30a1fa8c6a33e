import type { RunPatch } from '../contract/run.ts'
import type { RunState } from './state.ts'

/** What the store's record says of a state. */
export function patchOf(state: RunState): RunPatch {
  const { status, reason, message, started_at, finished_at, outputs } = state
  return { status, reason, message, started_at, finished_at, outputs, waiting: waitingOf(state) }
}

/** The fields that differ; one that is gone is there as undefined. */
export function patchBetween(before: RunPatch, after: RunPatch): RunPatch {
  return Object.fromEntries(
    Object.entries(after).filter(([key, value]) => before[key as keyof RunPatch] !== value),
  )
}

function waitingOf(state: RunState): string | undefined {
  if (state.waiting !== undefined) return state.waiting
  const [first] = state.unplaced
  return first === undefined ? undefined : state.attempts[first - 1]!.waiting
}
