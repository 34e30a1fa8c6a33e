const BLOCK = 256

/** Where rows stand that are one height but for some: each line's place in pixels from the top. */
export class RowPlaces {
  readonly #rowPx: number
  readonly #heights = new Map<number, number>()
  /** What the rows of each block have beyond the common height, and the sums of that before each block. */
  readonly #more: number[] = []
  #sums: number[] = []

  constructor(rowPx: number) {
    this.#rowPx = rowPx
  }

  /** Answers whether the height is another than before. */
  set(number: number, px: number): boolean {
    const before = this.#heights.get(number) ?? this.#rowPx
    if (before === px) return false
    if (px === this.#rowPx) this.#heights.delete(number)
    else this.#heights.set(number, px)
    const block = Math.floor((number - 1) / BLOCK)
    while (this.#more.length <= block) this.#more.push(0)
    this.#more[block]! += px - before
    this.#sums = []
    return true
  }

  /** How far from the top a line begins; that of the line after the last is the height of all. */
  top(number: number): number {
    const block = Math.floor((number - 1) / BLOCK)
    let px = (number - 1) * this.#rowPx + this.#before(block)
    if (this.#more[block])
      for (let each = block * BLOCK + 1; each < number; each++)
        px += (this.#heights.get(each) ?? this.#rowPx) - this.#rowPx
    return px
  }

  /** The line that stands at a place, of `total`. */
  at(px: number, total: number): number {
    let low = 1
    let high = Math.max(1, total)
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.top(middle) <= px) low = middle
      else high = middle - 1
    }
    return low
  }

  #before(block: number): number {
    if (this.#sums.length === 0) {
      let sum = 0
      this.#sums = [0, ...this.#more.map((more) => (sum += more))]
    }
    return this.#sums[Math.min(block, this.#sums.length - 1)]!
  }
}
