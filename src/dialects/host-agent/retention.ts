import type { Attempts, HeldAttempt } from '../../runner/ports.ts'

export interface RetentionLimits {
  /** How long an ended task can still be asked for. */
  keepEndedMs: number
  /** How many of them at most. */
  keepEnded: number
  /** Never less than this, whatever their number: whoever started it must have had time to read it. */
  keepAtLeastMs: number
}

/** Lets ended tasks go, the oldest first, and with the last one of a run its workspace. */
export class Retention {
  readonly #attempts: Attempts
  readonly #limits: RetentionLimits
  readonly #log: (line: string) => void
  /** When each one ended, oldest first. */
  readonly #ended = new Map<string, number>()
  readonly #watched = new Map<string, () => void>()
  #timer: NodeJS.Timeout | undefined

  constructor(attempts: Attempts, limits: RetentionLimits, log: (line: string) => void) {
    this.#attempts = attempts
    this.#limits = limits
    this.#log = log
  }

  start(): void {
    const everyMs = Math.min(60_000, Math.max(10, this.#limits.keepEndedMs / 4))
    this.#timer ??= setInterval(() => this.#sweep(), everyMs).unref()
  }

  /** Takes the attempt in; twice is once. */
  watch(attempt: HeldAttempt): void {
    const id = attempt.spec.attempt_id
    if (this.#watched.has(id) || this.#ended.has(id)) return
    if (attempt.ended) {
      this.#note(id)
      return
    }
    const stop = attempt.onChange(() => {
      if (!attempt.ended) return
      stop()
      this.#watched.delete(id)
      this.#note(id)
    })
    this.#watched.set(id, stop)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const stop of this.#watched.values()) stop()
    this.#watched.clear()
  }

  #note(id: string): void {
    this.#ended.set(id, Date.now())
    if (this.#ended.size > this.#limits.keepEnded) this.#sweep()
  }

  #sweep(): void {
    const now = Date.now()
    for (const [id, at] of this.#ended) {
      const age = now - at
      const due =
        age >= this.#limits.keepEndedMs ||
        (this.#ended.size > this.#limits.keepEnded && age >= this.#limits.keepAtLeastMs)
      if (!due) return
      this.#ended.delete(id)
      this.#release(id).catch((error) => this.#log(`could not delete the ended task ${id}: ${error.message}`))
    }
  }

  async #release(id: string): Promise<void> {
    const attempt = this.#attempts.get(id)
    if (attempt === undefined) return
    await attempt.release()
    const runId = attempt.spec.run_id
    if (!this.#attempts.all().some((other) => other.spec.run_id === runId))
      await this.#attempts.forgetRun(runId)
  }
}
