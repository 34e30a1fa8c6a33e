import type { MadeEnd } from '../../contract/fleet/provisioning.ts'

/** Failed starts in a row after which nothing is made for a while. */
const FAILURES = 3
const FIRST_MS = 30_000
const MOST_MS = 600_000

/** Why a group's runners are not made just now. */
export interface Open {
  reason: MadeEnd
  message: string
  failures: number
  /** Of the first of these failures. */
  sinceMs: number
  /** The last one goes on failing until a person has mended it. */
  permanent: boolean
  untilMs: number
}

/**
 * Keeps a group from making runner after runner that dies at once: open after three failures in a row, or one that a person
 * has to mend; for 30 s, doubled up to 10 min. After that one is made as a probe.
 */
export class Breaker {
  #failures = 0
  #sinceMs = 0
  #opened = 0
  #open: Open | undefined

  failed(reason: MadeEnd, message: string, { permanent = false, nowMs = Date.now() } = {}): void {
    if (this.#failures++ === 0) this.#sinceMs = nowMs
    if (!permanent && this.#failures < FAILURES) return
    const forMs = Math.min(MOST_MS, FIRST_MS * 2 ** this.#opened)
    this.#opened++
    this.#open = {
      ...{ reason, message, failures: this.#failures, sinceMs: this.#sinceMs },
      ...{ permanent, untilMs: nowMs + forMs },
    }
  }

  /** One of them has connected: all is well. */
  succeeded(): void {
    this.#failures = 0
    this.#opened = 0
    this.#open = undefined
  }

  /** How many may be started now, where so many start already. */
  room(starting: number, nowMs = Date.now()): number {
    if (this.#open === undefined) return Number.POSITIVE_INFINITY
    if (nowMs < this.#open.untilMs) return 0
    return Math.max(0, 1 - starting)
  }

  /** The last failure, while it is the reason why nothing, or one alone, is made. */
  get open(): Open | undefined {
    return this.#open
  }
}
