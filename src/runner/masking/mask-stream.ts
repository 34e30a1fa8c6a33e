import type { PatternMatcher } from './pattern-matcher.ts'
import { joinWrappedLines, runEndingAt } from './wrapped-lines.ts'

export const MASK = '***'
const mask = Buffer.from(MASK)
const CR = 13
const nothing = Buffer.alloc(0)
/** Bytes of a large chunk that are handled at once, so that they stay in the processor's cache. */
const SLICE_BYTES = 64 * 1024

/** Masks one stream; the output does not depend on how the input was cut into chunks. */
export class MaskStream {
  readonly #matcher: PatternMatcher
  /** End of the input, which may be the beginning of a secret; at most as long as its longest form. */
  #held: Buffer = nothing
  /** Number of bytes of `#held` that are known to belong to a secret. */
  #heldCovered = 0
  /** Set if the byte before `#held` belonged to a secret whose mask is written. */
  #afterMask = false
  /** Number of bytes without a blank right before `#held`. */
  #runBefore = 0
  /** Set if any of the output replaces a secret. */
  hidden = false

  constructor(matcher: PatternMatcher) {
    this.#matcher = matcher
  }

  /**
   * Returns the bytes that may be written now. They can be a part of `bytes` itself, which may be changed once they are
   * used.
   */
  push(bytes: Buffer): Buffer {
    if (bytes.length <= SLICE_BYTES) return joined(this.#take(bytes, false))
    const parts: Buffer[] = []
    for (let at = 0; at < bytes.length; at += SLICE_BYTES)
      parts.push(...this.#take(bytes.subarray(at, at + SLICE_BYTES), false))
    return joined(parts)
  }

  /** Returns the rest; nothing is pushed after it. */
  end(): Buffer {
    return joined(this.#take(nothing, true))
  }

  #take(bytes: Buffer, last: boolean): Buffer[] {
    const raw = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    // The byte after a CR decides whether it counts.
    const known = !last && raw.at(-1) === CR ? raw.length - 1 : raw.length
    const text = joinWrappedLines(raw.subarray(0, known), this.#runBefore)
    const covered = new CoveredRanges()
    if (this.#heldCovered > 0) covered.add(0, this.#heldCovered)
    const open = this.#matcher.scan(text.bytes, text.length, (start, end) =>
      covered.add(text.rawIndex(start), text.rawIndex(end - 1) + 1),
    )
    const cut = open < text.length && !last ? text.rawIndex(open) : known
    return this.#release(raw, cut, covered.list)
  }

  /** Returns the text before `cut`, masked, and holds back the rest. */
  #release(raw: Buffer, cut: number, covered: readonly Range[]): Buffer[] {
    const parts: Buffer[] = []
    let from = 0
    let heldCovered = 0
    let afterMask = cut === 0 && this.#afterMask
    for (const { start, end } of covered) {
      if (start <= cut) heldCovered = Math.max(0, end - cut)
      if (start >= cut) break
      this.hidden = true
      if (start > from) parts.push(raw.subarray(from, start))
      if (start > 0 || !this.#afterMask) parts.push(mask)
      from = Math.min(end, cut)
      afterMask = end >= cut
    }
    if (from < cut) parts.push(raw.subarray(from, cut))
    this.#runBefore = runEndingAt(raw, cut, this.#runBefore)
    this.#held = cut < raw.length ? Buffer.from(raw.subarray(cut)) : nothing
    this.#heldCovered = heldCovered
    this.#afterMask = afterMask
    return parts
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? parts[0]! : parts.length === 0 ? nothing : Buffer.concat(parts)
}

interface Range {
  start: number
  /** Exclusive end. */
  end: number
}

/** Collects the ranges that matches cover; ranges that overlap or touch become one. */
class CoveredRanges {
  /** Ascending ranges, with gaps between them. */
  readonly list: Range[] = []

  /** Adds a range. Ends ascend from call to call; starts may not. */
  add(start: number, end: number): void {
    let first = start
    let last = end
    for (
      let before = this.list.at(-1);
      before !== undefined && before.end >= first;
      before = this.list.at(-1)
    ) {
      first = Math.min(first, before.start)
      last = Math.max(last, before.end)
      this.list.pop()
    }
    this.list.push({ start: first, end: last })
  }
}
