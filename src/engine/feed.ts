/** Tells waiting readers that a run's log has grown. */
export class Feed {
  readonly #waiting = new Map<string, Set<() => void>>()

  /** Resolves at the next `tell` for the run, at `close`, or when the signal is aborted. */
  next(runId: string, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(runId) ?? new Set()
      this.#waiting.set(runId, waiting)
      const done = () => {
        waiting.delete(done)
        if (waiting.size === 0 && this.#waiting.get(runId) === waiting) this.#waiting.delete(runId)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      waiting.add(done)
      signal?.addEventListener('abort', done, { once: true })
    })
  }

  tell(runId: string): void {
    for (const done of [...(this.#waiting.get(runId) ?? [])]) done()
  }

  close(): void {
    for (const runId of [...this.#waiting.keys()]) this.tell(runId)
  }
}
