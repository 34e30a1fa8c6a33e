export interface BackoffOptions {
  firstMs: number
  maxMs: number
  /** The share of a wait that chance may take away, from 0 to 1. Default 0.5. */
  jitter?: number
  /** From 0 to 1, exclusive; a test may fix it. */
  random?: () => number
}

/** How long to wait before the next try: doubles up to `maxMs`, less a random share so that many don't come at once. */
export class Backoff {
  readonly #options: Required<BackoffOptions>
  #tries = 0

  constructor(options: BackoffOptions) {
    this.#options = { random: Math.random, jitter: 0.5, ...options }
  }

  next(): number {
    const { firstMs, maxMs, jitter, random } = this.#options
    // 2 ** 1023 is the largest there is.
    const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.#tries++, 1000))
    return fullMs * (1 - random() * jitter)
  }

  /** The longest wait, whatever the jitter; less at most half of it. */
  slowest(): number {
    return this.#options.maxMs * (1 - this.#options.random() / 2)
  }

  reset(): void {
    this.#tries = 0
  }
}
