/** Bytes of each pattern's beginning that are looked at; no pattern is shorter. */
export const WINDOW_BYTES = 6
const BLOCK_BYTES = 3
const LAST = WINDOW_BYTES - 1

/**
 * Skips what no pattern can begin with (after Wu and Manber): a block of three bytes that stands in no pattern's
 * first six lets four bytes be passed over at once.
 */
export class WindowFilter {
  /** By the hash of a block: how far the window may move; 0: a pattern may begin where it stands. */
  readonly #shifts = new Uint8Array(65_536).fill(WINDOW_BYTES - BLOCK_BYTES + 1)

  constructor(patterns: readonly Uint8Array[]) {
    for (const pattern of patterns)
      for (let at = BLOCK_BYTES - 1; at < WINDOW_BYTES; at++) {
        const block = hash(pattern[at - 2]!, pattern[at - 1]!, pattern[at]!)
        this.#shifts[block] = Math.min(this.#shifts[block]!, LAST - at)
      }
  }

  /** The first place from `from` on where a pattern may begin, or where too little follows to tell. */
  next(text: Uint8Array, length: number, from: number): number {
    const shifts = this.#shifts
    let at = from + LAST
    while (at < length) {
      const shift = shifts[hash(text[at - 2]!, text[at - 1]!, text[at]!)]!
      if (shift === 0) break
      at += shift
    }
    return at - LAST
  }
}

const hash = (a: number, b: number, c: number) => ((a << 11) ^ (b << 5) ^ c) & 0xffff
