/** A wait that others can cut short. A call of `notify` while nobody waits cuts the next wait short. */
export class WakeSignal {
  #notified = false
  #end: (() => void) | undefined

  notify(): void {
    this.#notified = true
    this.#end?.()
  }

  /** Resolves after `ms`, on `notify`, or on abort. A `notify` from before the call counts, but only after `leastMs`. */
  async wait(
    ms: number,
    { leastMs = 0, signal }: { leastMs?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    if (this.#notified) await this.#until(Math.min(leastMs, ms), signal)
    else await this.#until(ms, signal)
    this.#notified = false
  }

  #until(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const canNotify = !this.#notified
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', end)
        this.#end = undefined
        resolve()
      }
      const timer = setTimeout(end, ms)
      signal?.addEventListener('abort', end, { once: true })
      if (canNotify) this.#end = end
    })
  }
}
