/** A priority queue whose items can be moved and removed; each operation takes O(log n). It holds an item only once. */
export class Heap<T> {
  readonly #before: (a: T, b: T) => boolean
  readonly #items: T[] = []
  readonly #at = new Map<T, number>()

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before
  }

  get size(): number {
    return this.#items.length
  }

  get first(): T | undefined {
    return this.#items[0]
  }

  /** Yields the first item first and the others in no order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]()
  }

  add(item: T): void {
    this.#set(this.#items.length, item)
    this.#rise(item)
  }

  /** Must be called when an item's place in the order has changed. */
  moved(item: T): void {
    this.#rise(item)
    this.#sink(item)
  }

  /** Returns false when the item is not in the queue. */
  delete(item: T): boolean {
    const at = this.#at.get(item)
    if (at === undefined) return false
    this.#at.delete(item)
    const last = this.#items.pop()!
    if (last !== item) {
      this.#set(at, last)
      this.moved(last)
    }
    return true
  }

  #rise(item: T): void {
    for (let at = this.#at.get(item)!; at > 0; ) {
      const up = (at - 1) >> 1
      const above = this.#items[up]!
      if (!this.#before(item, above)) return
      this.#set(at, above)
      this.#set(up, item)
      at = up
    }
  }

  #sink(item: T): void {
    for (let at = this.#at.get(item)!; ; ) {
      let down = 2 * at + 1
      if (down >= this.#items.length) return
      if (down + 1 < this.#items.length && this.#before(this.#items[down + 1]!, this.#items[down]!)) down++
      const below = this.#items[down]!
      if (!this.#before(below, item)) return
      this.#set(at, below)
      this.#set(down, item)
      at = down
    }
  }

  #set(at: number, item: T): void {
    this.#items[at] = item
    this.#at.set(item, at)
  }
}
