/** The times of a run, step or instance, as the API has them. */
export interface Timed {
  created_at?: string | undefined
  started_at?: string | undefined
  finished_at?: string | undefined
  waited_ms?: number | undefined
  waiting_since?: string | undefined
}

/** Shortest wait that is shown, in milliseconds. */
export const LEAST_WAIT_MS = 1000

/** Returns how many milliseconds something has waited so far while nothing of it was worked on. */
export function waitedBy({ finished_at, waited_ms = 0, waiting_since }: Timed, nowMs: number): number {
  const isWaiting = finished_at === undefined && waiting_since !== undefined
  return waited_ms + (isWaiting ? Math.max(0, nowMs - Date.parse(waiting_since)) : 0)
}

/**
 * Returns how long something was worked on so far, and how long it waited; undefined if it has not begun. A run waits
 * from its creation on, a step from its start.
 */
export function workOf(of: Timed, nowMs: number): { workedMs: number; waitedMs: number } | undefined {
  const { created_at, started_at, finished_at, waited_ms } = of
  const begin = waited_ms === undefined ? started_at : (created_at ?? started_at)
  if (begin === undefined) return undefined
  const waitedMs = waitedBy(of, nowMs)
  const end = finished_at === undefined ? nowMs : Date.parse(finished_at)
  return { workedMs: Math.max(0, end - Date.parse(begin) - waitedMs), waitedMs }
}
