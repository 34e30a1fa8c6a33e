/** A reader that is behind by more than this is told to read its lists again. */
const MOST_WAITING = 1000

/** A reader's place: the tasks that have changed since it read last, each once. */
export interface TaskReader {
  /** Resolves with ids when there are some, or with the signal; undefined: too many, lists are to be read again. */
  next(signal: AbortSignal): Promise<string[] | undefined>
  close(): void
}

/** Tells readers which tasks have changed, as long as they read; nothing is kept for one that has left. */
export class TaskChanges {
  readonly #readers = new Set<(id: string) => void>()

  /** After the commit of what has changed. */
  changed(id: string): void {
    for (const tell of this.#readers) tell(id)
  }

  read(): TaskReader {
    const waiting = new Set<string>()
    let isBehind = false
    let news = Promise.withResolvers<void>()
    const tell = (id: string) => {
      if (waiting.size >= MOST_WAITING) isBehind = true
      else waiting.add(id)
      news.resolve()
    }
    this.#readers.add(tell)
    return {
      async next(signal) {
        const abort = () => news.resolve()
        signal.addEventListener('abort', abort, { once: true })
        if (!signal.aborted) await news.promise
        signal.removeEventListener('abort', abort)
        news = Promise.withResolvers()
        const ids = [...waiting]
        waiting.clear()
        if (!isBehind) return ids
        isBehind = false
        return undefined
      },
      close: () => this.#readers.delete(tell),
    }
  }
}
