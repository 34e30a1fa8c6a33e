export interface Clocks {
  /** Milliseconds since 1970, by the machine's clock. */
  now(): number
  /** Milliseconds since an arbitrary start, at an even pace. */
  steady(): number
}

/**
 * Measures moments that are written in milliseconds since 1970. The time until a moment is measured when it is first
 * asked for; setting the machine's clock afterwards does not move it.
 */
export class Moments {
  readonly #clocks: Clocks
  readonly #steadyMs = new Map<number, number>()

  constructor(clocks: Clocks = { now: Date.now, steady: () => performance.now() }) {
    this.#clocks = clocks
  }

  /** Returns the moment on the steady clock. */
  steadyMs(atMs: number): number {
    const known = this.#steadyMs.get(atMs)
    if (known !== undefined) return known
    const steadyMs = this.#clocks.steady() + atMs - this.#clocks.now()
    this.#steadyMs.set(atMs, steadyMs)
    return steadyMs
  }

  /** Reports whether the moment has come. */
  due(atMs: number): boolean {
    return this.#clocks.steady() >= this.steadyMs(atMs)
  }
}

const units: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** Parses "90s", "15m", "12h", "30d" or "2w" to milliseconds; undefined for any other text. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text.trim())
  return match === null ? undefined : Number(match[1]) * units[match[2]!]!
}

interface BackoffOptions {
  firstMs: number
  maxMs: number
  /** The share of a wait, from 0 to 1, that chance may remove. Default 0.5. */
  jitter?: number
  /** Returns a number from 0 to 1, exclusive; a test may fix it. */
  random?: () => number
}

/**
 * Computes the wait before the next try: it doubles up to `maxMs`, less a random share so that many clients do not come
 * at once.
 */
export class Backoff {
  readonly #options: Required<BackoffOptions>
  #tries = 0

  constructor(options: BackoffOptions) {
    this.#options = { random: Math.random, jitter: 0.5, ...options }
  }

  next(): number {
    const { firstMs, maxMs, jitter, random } = this.#options
    // 2 ** 1023 is the largest power of two that a number can hold.
    const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.#tries++, 1000))
    return fullMs * (1 - random() * jitter)
  }

  /** Returns the longest wait, less a random share of up to half, whatever `jitter` is. */
  slowest(): number {
    return this.#options.maxMs * (1 - this.#options.random() / 2)
  }

  reset(): void {
    this.#tries = 0
  }
}

interface Watched<T> {
  everyMs: number
  look(): Promise<T>
  report(found: T): void
}

/**
 * Checks what this machine has, at once and at intervals, and reports changes; having nothing at first is not a change.
 * A check that fails reports nothing, and the next one comes at its usual time.
 */
export class ChangeWatch<T> {
  readonly #watched: Watched<T>
  readonly #timer: NodeJS.Timeout
  #reported: string | undefined
  #closed = false

  constructor(watched: Watched<T>) {
    this.#watched = watched
    const look = () => void this.#look().catch(() => undefined)
    this.#timer = setInterval(look, watched.everyMs)
    look()
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    const found = await this.#watched.look()
    const text = JSON.stringify(found)
    if (this.#closed || text === this.#reported) return
    this.#reported = text
    this.#watched.report(found)
  }
}
