import { callAt } from './deadline.ts'
import type { Polled, Poller } from './poller.ts'

export interface AttemptWatchOptions {
  attempt: Polled
  poller: Poller
  /** Absent: its time is not limited. */
  timeoutMs: number | undefined
  onTimeout(afterMs: number): void
}

/** Looks at an attempt now and then while it runs, and tells when its time is over. */
export class AttemptWatch {
  readonly #options: AttemptWatchOptions
  #takeBackDeadline: () => void = () => undefined

  constructor(options: AttemptWatchOptions) {
    this.#options = options
  }

  /** `sinceMs`: when it was started. A second call counts from then on. */
  begin(sinceMs: number): void {
    const { attempt, poller, timeoutMs, onTimeout } = this.#options
    this.#takeBackDeadline()
    if (timeoutMs !== undefined)
      this.#takeBackDeadline = callAt(sinceMs + timeoutMs, () => onTimeout(timeoutMs))
    poller.add(attempt)
  }

  /** Twice is once. */
  end(): void {
    const { attempt, poller } = this.#options
    this.#takeBackDeadline()
    poller.remove(attempt)
  }
}
