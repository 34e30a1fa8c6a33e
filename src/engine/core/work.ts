import { isFinalStep, WAITING_FOR_WORKSPACE } from '../../contract/status.ts'
import type { AttemptState, InstanceState, RunState, StepState } from './state.ts'

/** The activity of an open instance: it is worked on, waits, or asks a person. */
export type InstanceActivity = 'works' | 'waits' | 'asks'

/** The time that something has waited, and the number of its instances in each activity. */
export interface Work {
  works: number
  waits: number
  asks: number
  /** Total of the waits that are over. */
  waited_ms: number
  /** Milliseconds since 1970; set while it waits. */
  waiting_since_ms?: number
}

export const noWork = (): Work => ({ works: 0, waits: 0, asks: 0, waited_ms: 0 })

type Placed = Pick<AttemptState, 'waiting' | 'talk' | 'at'>

/**
 * Returns an instance's activity; undefined before its start and after its end. It waits for a machine, for a slot or lock
 * there, for its next try, or for a person. Waiting for a child run counts as work.
 */
export function activityOf(
  { status, approval, child }: Pick<InstanceState, 'status' | 'approval' | 'child'>,
  attempt: Placed | undefined,
): InstanceActivity | undefined {
  if (status === 'waiting') return approval !== undefined ? 'asks' : child !== undefined ? 'works' : 'waits'
  if (status !== 'running') return undefined
  if (attempt?.waiting !== undefined || attempt?.at?.name === WAITING_FOR_WORKSPACE) return 'waits'
  return (attempt?.talk?.questions.size ?? 0) > 0 ? 'asks' : 'works'
}

/** Returns the activity of an instance of a run. */
export const currentActivity = (
  { attempts }: Pick<RunState, 'attempts'>,
  instance: InstanceState,
): InstanceActivity | undefined => activityOf(instance, attempts[(instance.attempts.at(-1) ?? 0) - 1])

/** Updates an instance's activity as of `time`, for the instance, its step and its run. */
export function updateActivity(
  state: RunState,
  step: StepState,
  instance: InstanceState,
  time: string,
): void {
  const activity = currentActivity(state, instance)
  if (activity === instance.activity) return
  const atMs = Date.parse(time)
  for (const work of [step.work, state.work]) {
    if (instance.activity !== undefined) work[instance.activity]--
    if (activity !== undefined) work[activity]++
  }
  instance.activity = activity
  const waits = activity === 'waits' || activity === 'asks'
  if (waits || instance.waiting_since_ms !== undefined) setWaits(instance, waits, atMs)
  setWaits(step.work, !isFinalStep(step.status) && isWaiting(step.work), atMs)
  setWaits(state.work, isWaiting(state.work), atMs)
}

/** Reports whether it waits: some instance waits or asks, and none is worked on. */
const isWaiting = ({ works, waits, asks }: Work): boolean => works === 0 && waits + asks > 0

/** Begins or ends a wait. The clock may have been set back meanwhile. */
export function setWaits(
  of: Partial<Pick<Work, 'waited_ms' | 'waiting_since_ms'>>,
  waits: boolean,
  atMs: number,
): void {
  if (waits === (of.waiting_since_ms !== undefined)) return
  if (!waits) of.waited_ms = (of.waited_ms ?? 0) + Math.max(0, atMs - of.waiting_since_ms!)
  of.waiting_since_ms = waits ? atMs : undefined
}

/** Returns the waits as they are shown. */
export const waitsView = (of: Partial<Work>): { waited_ms: number; waiting_since: string | undefined } => ({
  waited_ms: of.waited_ms ?? 0,
  waiting_since: of.waiting_since_ms === undefined ? undefined : new Date(of.waiting_since_ms).toISOString(),
})
