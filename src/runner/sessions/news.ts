/** How often it is looked without any news. */
const LOOK_MS = 4

/** For one who waits for something: it is looked whether it is there at each news, and now and then. */
export class News {
  #look: () => void = () => undefined

  come(): void {
    this.#look()
  }

  /** Until the condition holds, the time is over or the signal says so. Of several the last hears of news at once. */
  async until(condition: () => boolean, withinMs: number, stop: AbortSignal): Promise<void> {
    const until = performance.now() + withinMs
    while (!condition() && performance.now() < until && !stop.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#look = resolve
      const look = setTimeout(resolve, LOOK_MS)
      await promise
      clearTimeout(look)
    }
  }
}
