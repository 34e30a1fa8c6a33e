const BLOCK = 256

/** Where rows stand that are one height but for some, and those out of view: each line's place in pixels from the top. */
export class RowPlaces {
  readonly #rowPx: number
  readonly #heights = new Map<number, number>()
  /** What the rows of each block have beyond the common height, and the sums of that before each block. */
  readonly #more: number[] = []
  #sums: number[] = []
  /** Lines out of view, with how many such there are before each stretch. */
  readonly #hidden: { from: number; to: number; before: number }[] = []

  /** `hidden`: the first and the last line of each stretch that is out of view, in order. */
  constructor(rowPx: number, hidden: readonly (readonly [number, number])[] = []) {
    this.#rowPx = rowPx
    let before = 0
    for (const [from, to] of hidden) {
      this.#hidden.push({ from, to, before })
      before += to - from + 1
    }
  }

  /** The last line of the stretch out of view in which a line is; undefined: it is in view. */
  hiddenUntil(number: number): number | undefined {
    const stretch = this.#stretch(number + 1)
    return stretch !== undefined && number <= stretch.to ? stretch.to : undefined
  }

  /** How many of the first `total` lines are in view. */
  count(total: number): number {
    const last = this.#hidden.at(-1)
    return last === undefined ? total : total - last.before - (last.to - last.from + 1)
  }

  /** The last stretch that begins before a line. */
  #stretch(number: number) {
    let low = -1
    let high = this.#hidden.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#hidden[middle]!.from < number) low = middle
      else high = middle - 1
    }
    return this.#hidden[low]
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
    const stretch = this.#stretch(number)
    const hidden =
      stretch === undefined ? 0 : stretch.before + Math.min(number - 1, stretch.to) - stretch.from + 1
    let px = (number - 1 - hidden) * this.#rowPx + this.#before(block)
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
