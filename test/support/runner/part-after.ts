import type { StreamName } from '../../../src/contract/attempt.ts'
import type { OutputPart } from '../../../src/runner/ports.ts'

type Lengths = Readonly<Record<StreamName, number>>

/**
 * Returns the next part of the output of a stand-in whose standard output comes first, or undefined if there is no
 * more.
 */
export function partAfter(known: Lengths, lengths: Lengths): OutputPart | undefined {
  for (const stream of ['stdout', 'stderr'] as const) {
    const length = lengths[stream] - known[stream]
    if (length > 0) return { stream, offset: known[stream], length }
  }
  return undefined
}
