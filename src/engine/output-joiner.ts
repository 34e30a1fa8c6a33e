import type { StreamName } from '../contract/attempt.ts'
import { incompleteUtf8 } from './utf8.ts'

/** Output events are joined to about ten a second per attempt, but hold no more than this. */
export const OUTPUT_EVENT_MS = 100
/** The first one after a pause comes sooner: somebody may be waiting for it. */
export const FIRST_OUTPUT_EVENT_MS = 10
export const OUTPUT_EVENT_BYTES = 1024 * 1024

export interface OutputRange {
  stream: StreamName
  offset: number
  length: number
}

interface Pending {
  /** What events have told of, and what is kept. */
  told: number
  kept: number
  /** The last bytes kept, at most 3. */
  tail: Buffer
}

/** Joins the output of one attempt to events that do not cut a character in two. */
export class OutputJoiner {
  readonly #streams = new Map<StreamName, Pending>()

  /** `told`: what the log has of each stream already; `kept`: what the output store has, and `tail` its end. */
  constructor(known: Iterable<Pending & { stream: StreamName }> = []) {
    for (const { stream, ...pending } of known) this.#streams.set(stream, pending)
  }

  get streams(): StreamName[] {
    return [...this.#streams.keys()]
  }

  /** Bytes that end at `kept`, perhaps not all of them new; answers whether an event is to be made at once. */
  add(stream: StreamName, bytes: Buffer, kept: number): boolean {
    const pending = this.#streams.get(stream) ?? { told: 0, kept: 0, tail: Buffer.alloc(0) }
    this.#streams.set(stream, pending)
    if (kept > pending.kept) {
      const fresh = bytes.subarray(-Math.min(3, kept - pending.kept))
      pending.tail =
        fresh.length >= 3 ? Buffer.from(fresh) : Buffer.concat([pending.tail, fresh]).subarray(-3)
      pending.kept = kept
    }
    return pending.kept - pending.told >= OUTPUT_EVENT_BYTES
  }

  /** What is to be told now; `all`: also the beginning of a character, since no more will come. */
  take(all: boolean): OutputRange[] {
    const ranges: OutputRange[] = []
    for (const [stream, pending] of this.#streams) {
      const end = all ? pending.kept : pending.kept - incompleteUtf8(pending.tail)
      while (pending.told < end) {
        const length = Math.min(end - pending.told, OUTPUT_EVENT_BYTES)
        ranges.push({ stream, offset: pending.told, length })
        pending.told += length
      }
    }
    return ranges
  }
}
