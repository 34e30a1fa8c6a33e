/** A wait that others can cut short. A ring while nobody waits cuts the next wait short. */
export class Doorbell {
  #rang = false
  #end: (() => void) | undefined

  ring(): void {
    this.#rang = true
    this.#end?.()
  }

  /** Resolves after `ms`, on a ring, or on abort. A ring from before the call counts, but only after `leastMs`. */
  async wait(
    ms: number,
    { leastMs = 0, signal }: { leastMs?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    if (this.#rang) await this.#until(Math.min(leastMs, ms), signal)
    else await this.#until(ms, signal)
    this.#rang = false
  }

  #until(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const canRing = !this.#rang
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
      if (canRing) this.#end = end
    })
  }
}
