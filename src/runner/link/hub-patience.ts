import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import { Backoff } from '../../platform/time.ts'

/** Thrown where the hub was not there, or could not answer just now: the same may be asked again. */
export class HubAway extends ErrandError {
  constructor(message: string, cause?: unknown) {
    super('unavailable', message, { cause })
  }
}

/** Something asked of the hub that waits while the hub is away. */
export interface Asking {
  /** Ends the tries. */
  signal: AbortSignal
  /** Called once, as soon as it has to wait: why, as a sentence. */
  waiting?(why: string): void
}

interface Patience extends Asking {
  /** The failures after which it is asked again. Default: `HubAway`. */
  isAway?(error: unknown): boolean
  /** How long it is asked while there is a link. Default: the lost-after that the hub has told. */
  linkedMs?: number
}

/** Until the hub has told its own. */
const LOST_AFTER_MS = 60_000
/** Without a link an attempt goes on, and what it asks with it; but not for ever. */
const UNLINKED_MS = 24 * 3_600_000
const WAIT = { firstMs: 100, maxMs: 5_000, shareOfLostAfter: 1 / 10 }

/**
 * How long a runner waits for its hub with all that it asks of it beside the link. While there is a link, that is the time
 * after which the hub itself gives up a runner that is away. While there is none, the attempt goes on as attempts do then:
 * a hub that is being restarted or upgraded fails nothing, however long that takes.
 */
export class HubPatience {
  #lostAfterMs = LOST_AFTER_MS
  #linkedAtMs: number | undefined
  #unlinkedAtMs = performance.now()

  /** How long the hub keeps what this runner has, once it is away. */
  get lostAfterMs(): number {
    return this.#lostAfterMs
  }

  /** How long there has been no link; undefined where there is one. */
  get unlinkedMs(): number | undefined {
    return this.#linkedAtMs === undefined ? performance.now() - this.#unlinkedAtMs : undefined
  }

  /** A link was welcomed. */
  linked(lostAfterMs: number): void {
    this.#lostAfterMs = lostAfterMs
    this.#linkedAtMs = performance.now()
  }

  /** There is no link any more. */
  unlinked(): void {
    // Each try that failed ends without a link, too.
    if (this.#linkedAtMs !== undefined) this.#unlinkedAtMs = performance.now()
    this.#linkedAtMs = undefined
  }

  /** Asks until it is answered. Throws what is no absence of the hub, and the `HubAway` after which the time was over. */
  async whileAway<T>(ask: () => Promise<T>, patience: Patience): Promise<T> {
    const { signal, waiting, isAway = (error) => error instanceof HubAway } = patience
    const backoff = new Backoff(WAIT)
    for (let sinceMs: number | undefined; ; ) {
      signal.throwIfAborted()
      const askedAtMs = performance.now()
      try {
        return await ask()
      } catch (error) {
        signal.throwIfAborted()
        if (!isAway(error)) throw error
        if (sinceMs === undefined) waiting?.(`${sentence(messageOf(error))} It is asked again.`)
        sinceMs ??= askedAtMs
        if (this.#isOver(sinceMs, patience.linkedMs)) throw error
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
