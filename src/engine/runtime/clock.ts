import { Moments } from '../../platform/time.ts'
import type { Clock } from '../ports.ts'

/** Tracks the moments that a run waits for, and wakes it at the next of them. */
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

  /** Reports whether the moment has come. */
  due(atMs: number): boolean {
    return this.#moments.due(atMs)
  }

  /** Schedules the one call, at this moment; undefined cancels it. */
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

/** The longest wait of one timer (2^31 - 1 ms); a later time takes several. */
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
