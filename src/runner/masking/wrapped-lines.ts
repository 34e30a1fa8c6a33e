const LF = 10
const CR = 13
const SPACE = 32

/**
 * A line that ends in this many bytes without a blank may go on in the next one. Lower would take words that stand
 * below each other for one, and would hold back the end of most lines until the next one comes; whatever wraps
 * encoded text does it at 60 columns or more.
 */
export const WRAPPED_RUN_BYTES = 16

/** A text in which secrets are searched. */
export interface JoinedText {
  bytes: Uint8Array
  length: number
  /** Index in the raw bytes of what stands at `index` here. */
  rawIndex(index: number): number
}

/**
 * Leaves out the breaks of lines that may have been wrapped, and each CR before an LF, so that a secret is the same
 * bytes however it was wrapped. `runBefore`: bytes without a blank that stand right before `raw`.
 */
export function joinWrappedLines(raw: Uint8Array, runBefore: number): JoinedText {
  const cuts: number[] = []
  for (let at = raw.indexOf(LF); at >= 0; at = raw.indexOf(LF, at + 1)) {
    const lineEnd = at > 0 && raw[at - 1] === CR ? at - 1 : at
    if (lineEnd < at) cuts.push(lineEnd)
    if (runEndingAt(raw, lineEnd, runBefore) >= WRAPPED_RUN_BYTES) cuts.push(at)
  }
  if (cuts.length === 0) return { bytes: raw, length: raw.length, rawIndex: (index) => index }
  return {
    bytes: without(raw, cuts),
    length: raw.length - cuts.length,
    rawIndex: (index) => index + cutsUpTo(cuts, index),
  }
}

/** How many bytes without a blank stand right before `end`; counted no further than matters. */
export function runEndingAt(raw: Uint8Array, end: number, runBefore: number): number {
  const stop = Math.max(0, end - WRAPPED_RUN_BYTES)
  for (let at = end - 1; at >= stop; at--) if (raw[at]! <= SPACE) return end - 1 - at
  return Math.min(WRAPPED_RUN_BYTES, stop === 0 ? end + runBefore : WRAPPED_RUN_BYTES)
}

function without(raw: Uint8Array, cuts: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(raw.length - cuts.length)
  let from = 0
  let length = 0
  for (const cut of cuts) {
    bytes.set(raw.subarray(from, cut), length)
    length += cut - from
    from = cut + 1
  }
  bytes.set(raw.subarray(from), length)
  return bytes
}

/** How many of the cuts lie before what stands at `index` once they are made. */
function cutsUpTo(cuts: readonly number[], index: number): number {
  let low = 0
  let high = cuts.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (cuts[middle]! - middle <= index) low = middle + 1
    else high = middle
  }
  return low
}
