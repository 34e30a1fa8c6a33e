import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import { Backoff } from '../../platform/time.ts'

/** Thrown if the hub was not there, or could not answer at the moment: the same request may be sent again. */
export class HubAway extends ErrandError {
  constructor(message: string, cause?: unknown) {
    super('unavailable', message, { cause })
  }
}

/** Describes a request to the hub that waits while the hub is away. */
export interface Asking {
  /** Ends the retries. */
  signal: AbortSignal
  /** Called once, as soon as it has to wait, with a sentence that says why. */
  waiting?(why: string): void
}

interface RetryOptions extends Asking {
  /** Tells after which failures to ask again. Default: `HubAway`. */
  isAway?(error: unknown): boolean
  /** Time in ms to keep asking while there is a link. Default: the lost-after time that the hub sent. */
  linkedMs?: number
}

/** Milliseconds, until the hub sends its own value. */
const LOST_AFTER_MS = 60_000
/** Limit in ms for requests without a link: their attempt continues, but not forever. */
const UNLINKED_MS = 24 * 3_600_000
const WAIT = { firstMs: 100, maxMs: 5_000, shareOfLostAfter: 1 / 10 }

/**
 * Decides how long a runner waits for its hub with requests outside the link. While there is a link, the limit is the
 * time after which the hub itself gives up a runner that is away. Without a link, attempts continue and requests wait
 * up to 24 hours, so a hub that is restarted or upgraded fails nothing.
 */
export class HubRetry {
  #lostAfterMs = LOST_AFTER_MS
  #linkedAtMs: number | undefined
  #unlinkedAtMs = performance.now()

  /** Milliseconds that the hub keeps what this runner has, once the runner is away. */
  get lostAfterMs(): number {
    return this.#lostAfterMs
  }

  /** Milliseconds without a link; undefined while there is one. */
  get unlinkedMs(): number | undefined {
    return this.#linkedAtMs === undefined ? performance.now() - this.#unlinkedAtMs : undefined
  }

  /** Records that a link was accepted. */
  linked(lostAfterMs: number): void {
    this.#lostAfterMs = lostAfterMs
    this.#linkedAtMs = performance.now()
  }

  /** Records that there is no link any more. */
  unlinked(): void {
    // Each failed try ends without a link, too.
    if (this.#linkedAtMs !== undefined) this.#unlinkedAtMs = performance.now()
    this.#linkedAtMs = undefined
  }

  /**
   * Asks until there is an answer. Throws any error that does not mean an absent hub, and the last `HubAway` when the
   * time is over.
   */
  async whileAway<T>(ask: () => Promise<T>, options: RetryOptions): Promise<T> {
    const { signal, waiting, isAway = (error) => error instanceof HubAway } = options
    const backoff = new Backoff(WAIT)
    for (let sinceMs: number | undefined; ; ) {
      signal.throwIfAborted()
      const requestedAtMs = performance.now()
      try {
        return await ask()
      } catch (error) {
        signal.throwIfAborted()
        if (!isAway(error)) throw error
        if (sinceMs === undefined) waiting?.(`${sentence(messageOf(error))} Trying again.`)
        sinceMs ??= requestedAtMs
        if (this.#isOver(sinceMs, options.linkedMs)) throw error
      }
      const mostMs = this.#lostAfterMs * WAIT.shareOfLostAfter
      await sleep(Math.min(backoff.next(), mostMs), undefined, { signal })
    }
  }

  #isOver(sinceMs: number, linkedMs = this.#lostAfterMs): boolean {
    const nowMs = performance.now()
    if (this.#linkedAtMs === undefined) return nowMs - sinceMs >= UNLINKED_MS
    return nowMs - Math.max(sinceMs, this.#linkedAtMs) >= linkedMs
  }
}

const sentence = (text: string): string => (text.endsWith('.') ? text : `${text}.`)
