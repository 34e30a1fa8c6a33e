import { Moments } from '../platform/moments.ts'
import type { Clock } from './ports.ts'

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
