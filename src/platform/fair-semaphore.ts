/**
 * Shares a scarce resource, such as the event loop or threads, among many callers. A limited number hold a turn at
 * once. The others get theirs round-robin by key, so that a caller with a thousand requests delays another by one turn
 * at most. Each turn begins in its own round of the event loop.
 */
export class FairSemaphore {
  readonly #atOnce: number
  readonly #waiting = new Map<string, ((turn: Disposable) => void)[]>()
  #held = 0
  #scheduled = false

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  /** Resolves with the turn, which lasts until it is disposed. */
  acquire(key: string): Promise<Disposable> {
    return new Promise((resolve) => {
      const line = this.#waiting.get(key)
      if (line === undefined) this.#waiting.set(key, [resolve])
      else line.push(resolve)
      this.#schedule()
    })
  }

  /** Counts the turns that are held or would come before one requested now. */
  ahead(key: string): number {
    const own = this.#waiting.get(key)?.length ?? 0
    let count = this.#held + own
    for (const [other, line] of this.#waiting) if (other !== key) count += Math.min(line.length, own + 1)
    return count
  }

  #schedule(): void {
    if (this.#scheduled || this.#held >= this.#atOnce || this.#waiting.size === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#held < this.#atOnce && this.#waiting.size > 0) this.#give()
    })
  }

  /**
   * Gives a turn to the oldest request of the key that has waited longest, and moves that key to the end of the circle.
   */
  #give(): void {
    const [key, line] = this.#waiting.entries().next().value!
    this.#waiting.delete(key)
    const next = line.shift()!
    if (line.length > 0) this.#waiting.set(key, line)
    this.#held++
    let over = false
    next({
      [Symbol.dispose]: () => {
        if (over) return
        over = true
        this.#held--
        this.#schedule()
      },
    })
  }
}
