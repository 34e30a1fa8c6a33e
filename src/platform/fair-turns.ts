/**
 * Shares what is scarce, such as the event loop or threads, among many who ask for it: so many have a turn at once,
 * and those who wait get theirs in a circle of their keys, so that one with a thousand requests holds up another
 * for no more than a turn. A turn begins in a round of the event loop of its own.
 */
export class FairTurns {
  readonly #atOnce: number
  readonly #waiting = new Map<string, ((turn: Disposable) => void)[]>()
  #held = 0
  #scheduled = false

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  /** Resolves with the turn, which lasts until it is disposed of. */
  take(key: string): Promise<Disposable> {
    return new Promise((resolve) => {
      const line = this.#waiting.get(key)
      if (line === undefined) this.#waiting.set(key, [resolve])
      else line.push(resolve)
      this.#schedule()
    })
  }

  /** How many turns are under way or come before one that is asked for now. */
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

  /** To the first of the key that has waited longest; that key goes to the end of the circle. */
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
