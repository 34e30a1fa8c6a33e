import { useNow } from '../data/clock.ts'

/** Returns the milliseconds left, 0 once the time is over, or undefined if there is no end. */
export function useLeft(until: string): number
export function useLeft(until: string | undefined): number | undefined
export function useLeft(until: string | undefined): number | undefined {
  const now = useNow()
  return until === undefined ? undefined : Math.max(0, Date.parse(until) - now)
}
