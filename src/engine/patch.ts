import type { RunPatch } from '../contract/run.ts'
import { isFinalRun } from '../contract/status.ts'
import { keptBytes, type RunState } from './state.ts'

/** Returns what the store's record says of a state. */
export function patchOf(state: RunState): RunPatch {
  const { status, reason, message, started_at, finished_at, outputs } = state
  const output_bytes = isFinalRun(status) ? outputBytes(state) : undefined
  return {
    status,
    reason,
    message,
    started_at,
    finished_at,
    outputs,
    waiting: waitingOf(state),
    output_bytes,
  }
}

/** Undefined for none, as most runs' records need not say. */
function outputBytes({ attempts }: RunState): number | undefined {
  return attempts.reduce((sum, attempt) => sum + keptBytes(attempt), 0) || undefined
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
