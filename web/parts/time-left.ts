import { useNow } from '../data/clock.ts'

/** Milliseconds that are left, 0 once it is over. Undefined: it has no end. */
export function useLeft(until: string): number
export function useLeft(until: string | undefined): number | undefined
export function useLeft(until: string | undefined): number | undefined {
  const now = useNow()
  return until === undefined ? undefined : Math.max(0, Date.parse(until) - now)
}
