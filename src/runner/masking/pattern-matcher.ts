import { PatternTrie } from './pattern-trie.ts'
import { WINDOW_BYTES, WindowFilter } from './window-filter.ts'

/** Finds where patterns stand in a text; each has at least `WINDOW_BYTES`. */
export class PatternMatcher {
  readonly #filter: WindowFilter
  readonly #trie: PatternTrie

  constructor(patterns: readonly Uint8Array[]) {
    this.#filter = new WindowFilter(patterns)
    this.#trie = new PatternTrie(patterns)
  }

  /**
   * Calls back with start and end of matches, ends ascending: for each place where patterns end, the longest of them.
   * Answers from where on the text may be the beginning of a pattern that it does not hold whole; its length: nowhere.
   */
  scan(text: Uint8Array, length: number, onMatch: (start: number, end: number) => void): number {
    const trie = this.#trie
    let from = 0
    for (;;) {
      from = this.#filter.next(text, length, from)
      let state = 0
      let at = from
      for (; at < length; at++) {
        state = trie.next(state, text[at]!)
        const longest = trie.longestEnd(state)
        if (longest > 0) onMatch(at + 1 - longest, at + 1)
        const depth = trie.depth(state)
        const start = at + 1 - depth
        // Here nothing is under way that the filter would not find again, and it is faster.
        if (start > from && depth < WINDOW_BYTES) {
          from = start
          break
        }
      }
      if (at >= length) return length - trie.openDepth(state)
    }
  }
}
