const BLOCK = 256

/**
 * Computes each line's offset in pixels from the top, for rows of one height with some exceptions and some hidden
 * lines.
 */
export class RowOffsets {
  readonly #rowPx: number
  readonly #heights = new Map<number, number>()
  /** Extra height of each block's rows beyond the common height, and the sums of it before each block. */
  readonly #more: number[] = []
  #sums: number[] = []
  /** Stretches of hidden lines, each with the number of hidden lines before it. */
  readonly #hidden: { from: number; to: number; before: number }[] = []

  /** `hidden` has the first and the last line of each hidden stretch, in order. */
  constructor(rowPx: number, hidden: readonly (readonly [number, number])[] = []) {
    this.#rowPx = rowPx
    let before = 0
    for (const [from, to] of hidden) {
      this.#hidden.push({ from, to, before })
      before += to - from + 1
    }
  }

  /** Returns the last line of the hidden stretch that contains a line, or undefined if the line is not hidden. */
  hiddenUntil(number: number): number | undefined {
    const stretch = this.#stretch(number + 1)
    return stretch !== undefined && number <= stretch.to ? stretch.to : undefined
  }

  /** Returns how many of the first `total` lines are not hidden. */
  count(total: number): number {
    const last = this.#hidden.at(-1)
    return last === undefined ? total : total - last.before - (last.to - last.from + 1)
  }

  /** Returns the last stretch that begins before a line. */
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

  /** Sets the height of a line's row and reports whether it has changed. */
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

  /** Returns how far from the top a line begins; for the line after the last, that is the height of the whole log. */
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

  /** Returns the line at an offset, out of `total` lines. */
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
