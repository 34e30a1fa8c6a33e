/**
 * One thing at a time for each key, in the order in which they were asked for. In this process alone, which is enough: a
 * second hub on the same data does not start (`data_folder_locked`).
 */
export class OwnerLocks {
  readonly #last = new Map<string, Promise<unknown>>()

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = (async () => {
      await before?.catch(() => {})
      return await work()
    })()
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}
