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

const units: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** "90s", "15m", "12h", "30d", "2w" in milliseconds; undefined where it is no such text. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text.trim())
  return match === null ? undefined : Number(match[1]) * units[match[2]!]!
}

interface BackoffOptions {
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

interface Watched<T> {
  everyMs: number
  look(): Promise<T>
  tell(found: T): void
}

/**
 * Looks at what this machine has, at once and now and then, and tells of what is new; nothing, at first, is not. A look that
 * fails tells nothing, and is made again at its time.
 */
export class ChangeWatch<T> {
  readonly #watched: Watched<T>
  readonly #timer: NodeJS.Timeout
  #told: string | undefined
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
    if (this.#closed || text === this.#told) return
    this.#told = text
    this.#watched.tell(found)
  }
}
