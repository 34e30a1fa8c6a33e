const ignore = (): void => {}

/** Runs pieces of work one at a time, in the order of the calls. A piece that fails does not stop the next one. */
export class Mutex {
  #last: Promise<void> = Promise.resolve()

  /** Resolves or rejects as the work does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const running = this.#last.then(work)
    this.#last = running.then(ignore, ignore)
    return running
  }

  /** Resolves when all work requested so far has ended. */
  settled(): Promise<void> {
    return this.#last
  }
}

/** Runs pieces of work one at a time for each key, in the order of the calls. Keys without work use no memory. */
export class KeyedMutex<Key = string> {
  readonly #last = new Map<Key, Promise<void>>()

  /** Counts the keys for which work is running or waiting. */
  get size(): number {
    return this.#last.size
  }

  /** Resolves or rejects as the work does. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const running = (this.#last.get(key) ?? Promise.resolve()).then(work)
    const forget = (): void => {
      if (this.#last.get(key) === over) this.#last.delete(key)
    }
    const over = running.then(forget, forget)
    this.#last.set(key, over)
    return running
  }

  /** Resolves when all work requested so far, for this key or for every key, has ended. */
  async settled(key?: Key): Promise<void> {
    await (key === undefined ? Promise.all(this.#last.values()) : this.#last.get(key))
  }
}

/** Runs a limited number of pieces of work at once; the others wait in the order of the calls. */
export class Semaphore {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(most: number) {
    this.#free = most
  }

  /** Resolves or rejects as the work does. If the signal is aborted by then, rejects with its reason instead. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      signal?.throwIfAborted()
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
