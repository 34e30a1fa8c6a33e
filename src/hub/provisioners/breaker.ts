import type { ProvisionedEnd } from '../../contract/fleet/provisioning.ts'

/** Number of failed starts in a row that opens the breaker. */
const FAILURES = 3
const FIRST_MS = 30_000
const MOST_MS = 600_000

/** Explains why a group makes no runners at the moment. */
export interface Open {
  reason: ProvisionedEnd
  message: string
  failures: number
  /** Time of the first of these failures. */
  sinceMs: number
  /** True if the last failure will repeat until a person fixes its cause. */
  permanent: boolean
  untilMs: number
}

/**
 * Stops a group from making one runner after another that dies at once.
 * - Closed: any number may start. Three failures in a row, or one that a person has to fix, open the breaker.
 * - Open: none starts for 30 s, doubled at each opening up to 10 min. Then the breaker probes.
 * - Probing: one runner may start at a time. Another failure opens the breaker again.
 * - A runner that connects closes the breaker from any state.
 */
export class Breaker {
  #failures = 0
  #sinceMs = 0
  #opened = 0
  #open: Open | undefined

  failed(reason: ProvisionedEnd, message: string, { permanent = false, nowMs = Date.now() } = {}): void {
    if (this.#failures++ === 0) this.#sinceMs = nowMs
    if (!permanent && this.#failures < FAILURES) return
    const forMs = Math.min(MOST_MS, FIRST_MS * 2 ** this.#opened)
    this.#opened++
    this.#open = {
      ...{ reason, message, failures: this.#failures, sinceMs: this.#sinceMs },
      ...{ permanent, untilMs: nowMs + forMs },
    }
  }

  /** Closes the breaker: a runner has connected. */
  succeeded(): void {
    this.#failures = 0
    this.#opened = 0
    this.#open = undefined
  }

  /** Returns how many runners may be started now, given how many are starting already. */
  room(starting: number, nowMs = Date.now()): number {
    if (this.#open === undefined) return Number.POSITIVE_INFINITY
    if (nowMs < this.#open.untilMs) return 0
    return Math.max(0, 1 - starting)
  }

  /** The last failure, while it is the reason why no runner, or only one, may start. */
  get open(): Open | undefined {
    return this.#open
  }
}
