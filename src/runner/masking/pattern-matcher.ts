/** Finds patterns in a text; each has at least `WINDOW_BYTES`. */
export class PatternMatcher {
  readonly #filter: WindowFilter
  readonly #trie: PatternTrie

  constructor(patterns: readonly Uint8Array[]) {
    this.#filter = new WindowFilter(patterns)
    this.#trie = new PatternTrie(patterns)
  }

  /**
   * Calls back with start and end of matches, ends ascending: for each place where patterns end, the longest of them.
   * Returns where an incomplete pattern may begin at the end of the text, or its length if nowhere.
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
        // Here nothing is pending that the filter would not find again, and the filter is faster.
        if (start > from && depth < WINDOW_BYTES) {
          from = start
          break
        }
      }
      if (at >= length) return length - trie.openDepth(state)
    }
  }
}

/** Bytes of each pattern's beginning that the filter uses; no pattern is shorter. */
const WINDOW_BYTES = 6
const BLOCK_BYTES = 3
const LAST = WINDOW_BYTES - 1

/**
 * Skips text where no pattern can begin (after Wu and Manber): if a block of three bytes is in no pattern's first six,
 * four bytes can be skipped at once.
 */
class WindowFilter {
  /** Distance by the hash of a block that the window may move; 0: a pattern may begin here. */
  readonly #shifts = new Uint8Array(65_536).fill(WINDOW_BYTES - BLOCK_BYTES + 1)

  constructor(patterns: readonly Uint8Array[]) {
    for (const pattern of patterns)
      for (let at = BLOCK_BYTES - 1; at < WINDOW_BYTES; at++) {
        const block = hash(pattern[at - 2]!, pattern[at - 1]!, pattern[at]!)
        this.#shifts[block] = Math.min(this.#shifts[block]!, LAST - at)
      }
  }

  /** Returns the first place from `from` on where a pattern may begin, or where too little text follows to tell. */
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

/**
 * Implements an Aho-Corasick automaton over bytes. A state represents the longest end of the input that some pattern
 * begins with; state 0 represents none. It takes about 21 bytes per state, and at most as many states as all patterns
 * have bytes.
 */
class PatternTrie {
  readonly #rootChild = new Int32Array(256)
  readonly #byte: Uint8Array
  readonly #firstChild: Int32Array
  readonly #sibling: Int32Array
  /** State of the longest proper suffix of a state that is itself a state. */
  readonly #fallback: Int32Array
  readonly #depth: Int32Array
  readonly #longestEnd: Int32Array
  #states = 1

  constructor(patterns: readonly Uint8Array[]) {
    const most = patterns.reduce((sum, { length }) => sum + length, 1)
    this.#byte = new Uint8Array(most)
    this.#firstChild = new Int32Array(most)
    this.#sibling = new Int32Array(most)
    this.#fallback = new Int32Array(most)
    this.#depth = new Int32Array(most)
    this.#longestEnd = new Int32Array(most)
    for (const pattern of patterns) this.#insert(pattern)
    this.#link()
  }

  next(state: number, byte: number): number {
    for (let at = state; at !== 0; at = this.#fallback[at]!) {
      const child = this.#child(at, byte)
      if (child !== 0) return child
    }
    return this.#rootChild[byte]!
  }

  /** Returns how many of the last bytes are the beginning of some pattern. */
  depth(state: number): number {
    return this.#depth[state]!
  }

  /** Returns the length of the longest pattern that ends here; 0 for none. */
  longestEnd(state: number): number {
    return this.#longestEnd[state]!
  }

  /** Returns a depth like `depth`, but only of beginnings that can still grow. */
  openDepth(state: number): number {
    let open = state
    while (open !== 0 && this.#firstChild[open] === 0) open = this.#fallback[open]!
    return this.#depth[open]!
  }

  #child(state: number, byte: number): number {
    let child = this.#firstChild[state]!
    while (child !== 0 && this.#byte[child] !== byte) child = this.#sibling[child]!
    return child
  }

  #insert(pattern: Uint8Array): void {
    let state = 0
    for (const byte of pattern) {
      const child = state === 0 ? this.#rootChild[byte]! : this.#child(state, byte)
      state = child === 0 ? this.#add(state, byte) : child
    }
    this.#longestEnd[state] = pattern.length
  }

  #add(parent: number, byte: number): number {
    const state = this.#states++
    this.#byte[state] = byte
    this.#depth[state] = this.#depth[parent]! + 1
    if (parent === 0) this.#rootChild[byte] = state
    else {
      this.#sibling[state] = this.#firstChild[parent]!
      this.#firstChild[parent] = state
    }
    return state
  }

  /** Links the states in order of depth: a state falls back to a shorter one, which must be linked before. */
  #link(): void {
    const queue = new Int32Array(this.#states)
    let filled = 0
    for (const state of this.#rootChild) if (state !== 0) queue[filled++] = state
    for (let taken = 0; taken < filled; taken++) {
      const state = queue[taken]!
      if (this.#longestEnd[state] === 0) this.#longestEnd[state] = this.#longestEnd[this.#fallback[state]!]!
      for (let child = this.#firstChild[state]!; child !== 0; child = this.#sibling[child]!) {
        this.#fallback[child] = this.next(this.#fallback[state]!, this.#byte[child]!)
        queue[filled++] = child
      }
    }
  }
}
