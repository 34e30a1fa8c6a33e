import assert from 'node:assert/strict'
import type { Masker } from '../../src/runner/masking/masker.ts'

/** Returns the masked stream of a text that arrives in pieces. `cuts` has the places of the cuts, ascending. */
function maskedInPieces(masker: Masker, text: Buffer, cuts: readonly number[]): Buffer {
  const stream = masker.stream()
  const ends = [...cuts, text.length]
  // Copies that are overwritten afterwards: a stream may not depend on what its caller does with a buffer later.
  const pieces = ends.map((end, index) => Buffer.from(text.subarray(index === 0 ? 0 : ends[index - 1], end)))
  const masked = pieces.map((piece) => {
    const out = Buffer.from(stream.push(piece))
    piece.fill(0)
    return out
  })
  return Buffer.concat([...masked, stream.end(), stream.end()])
}

/** Tries every text in two pieces, in single bytes, and in pieces of the given lengths. Returns the number of ways. */
export function assertEverySplit(
  masker: Masker,
  text: Buffer,
  expected: Buffer,
  lengths: readonly number[],
): number {
  const ways = Array.from({ length: text.length + 1 }, (_, at) => [at])
  ways.push([...text.keys()])
  for (const length of lengths) ways.push([...text.keys()].filter((at) => at % length === 0))
  for (const cuts of ways) {
    const masked = maskedInPieces(masker, text, cuts)
    if (!masked.equals(expected))
      assert.equal(
        masked.toString(),
        expected.toString(),
        `cut at ${cuts.length > 8 ? `every ${cuts[1]}` : cuts}`,
      )
  }
  return ways.length
}
