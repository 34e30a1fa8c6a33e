/**
 * An Aho-Corasick automaton over bytes. A state stands for the longest end of what was read that some pattern begins
 * with; state 0 for none. About 21 bytes a state, and as many states as all patterns have bytes, at most.
 */
export class PatternTrie {
  readonly #rootChild = new Int32Array(256)
  readonly #byte: Uint8Array
  readonly #firstChild: Int32Array
  readonly #sibling: Int32Array
  /** The state of the longest proper end of a state that is one too. */
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

  /** How many of the last bytes read some pattern begins with. */
  depth(state: number): number {
    return this.#depth[state]!
  }

  /** Length of the longest pattern that ends here; 0 for none. */
  longestEnd(state: number): number {
    return this.#longestEnd[state]!
  }

  /** As `depth`, but of what can still become more than it is. */
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

  /** In order of depth: a state falls back to a shorter one, which must be linked before. */
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
