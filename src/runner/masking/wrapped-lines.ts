const LF = 10
const CR = 13
const SPACE = 32

/**
 * Bytes without a blank at the end of a line that may continue in the next. A lower limit would join words that are
 * below each other, and would hold back the end of most lines until the next one comes; programs wrap encoded text at
 * 60 columns or more.
 */
export const WRAPPED_RUN_BYTES = 16

/** Text in which secrets are searched. */
export interface JoinedText {
  bytes: Uint8Array
  length: number
  /** Returns the index in the raw bytes of the byte at `index` here. */
  rawIndex(index: number): number
}

/**
 * Removes the breaks of lines that may have been wrapped, and each CR before an LF, so that a secret has the same bytes
 * however it was wrapped. `runBefore`: number of bytes without a blank right before `raw`.
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

/** Returns the number of bytes without a blank right before `end`, counted no further than necessary. */
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

/** Returns the number of cuts before the byte at `index`, after they are made. */
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
