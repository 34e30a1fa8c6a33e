import { Moments } from '../../platform/time.ts'
import type { Clock } from '../ports.ts'

/** The moments that a run waits for, and the next of them at which it is to be looked at again. */
export class WakeUp {
  readonly #clock: Clock
  readonly #call: () => void
  readonly #moments: Moments
  #next: { atMs: number; cancel: () => void } | undefined

  constructor(clock: Clock, call: () => void) {
    this.#clock = clock
    this.#call = call
    this.#moments = new Moments(clock)
  }

  /** Whether the moment has come. */
  due(atMs: number): boolean {
    return this.#moments.due(atMs)
  }

  /** Calls once, at this moment and no other; undefined: not at all. */
  at(atMs: number | undefined): void {
    if (this.#next?.atMs === atMs) return
    this.#next?.cancel()
    this.#next = undefined
    if (atMs === undefined) return
    const cancel = this.#clock.wake(this.#moments.steadyMs(atMs), () => {
      this.#next = undefined
      this.#call()
    })
    this.#next = { atMs, cancel }
  }
}

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
