export interface Clocks {
  /** Milliseconds since 1970, as the machine's clock is set. */
  now(): number
  /** Milliseconds since whenever, evenly. */
  steady(): number
}

/**
 * Moments as they are written down, in milliseconds since 1970. How long one is away is measured from when it is first
 * asked for: setting the machine's clock after that moves none of them.
 */
export class Moments {
  readonly #clocks: Clocks
  readonly #steadyMs = new Map<number, number>()

  constructor(clocks: Clocks = { now: Date.now, steady: () => performance.now() }) {
    this.#clocks = clocks
  }

  /** When it is by the steady clock. */
  steadyMs(atMs: number): number {
    const known = this.#steadyMs.get(atMs)
    if (known !== undefined) return known
    const steadyMs = this.#clocks.steady() + atMs - this.#clocks.now()
    this.#steadyMs.set(atMs, steadyMs)
    return steadyMs
  }

  /** Whether it has come. */
  due(atMs: number): boolean {
    return this.#clocks.steady() >= this.steadyMs(atMs)
  }
}
