import type { Clock } from './ports.ts'

/** The longest that one timer can wait (2^31 - 1 ms); a later time is reached in several. */
const MAX_TIMER_MS = 2_147_483_647

export const systemClock: Clock = {
  now: () => Date.now(),
  steady: () => performance.now(),
  wake(atSteadyMs, callback) {
    let timer: NodeJS.Timeout
    const arm = () => {
      const leftMs = atSteadyMs - performance.now()
      timer = leftMs <= 0 ? setTimeout(callback, 0) : setTimeout(arm, Math.min(leftMs, MAX_TIMER_MS))
    }
    arm()
    return () => clearTimeout(timer)
  },
}
