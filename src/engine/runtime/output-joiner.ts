import type { StreamName } from '../../contract/attempt.ts'

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
  /** The lengths that events have told of, and that are kept. */
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

  /** How much of the stream is kept. */
  kept(stream: StreamName): number {
    return this.#streams.get(stream)?.kept ?? 0
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
    return this.isFull
  }

  /** An event is to be made at once. */
  get isFull(): boolean {
    return [...this.#streams.values()].some(({ kept, told }) => kept - told >= OUTPUT_EVENT_BYTES)
  }

  /** How far what is kept now can be told; `all`: also the beginning of a character, since no more will come. */
  due(all: boolean): ReadonlyMap<StreamName, number> {
    const due = new Map<StreamName, number>()
    for (const [stream, { kept, told, tail }] of this.#streams) {
      const end = all ? kept : kept - incompleteUtf8(tail)
      if (end > told) due.set(stream, end)
    }
    return due
  }

  /** Returns the ranges that are to be told so that it is told so far. */
  take(due: ReadonlyMap<StreamName, number>): OutputRange[] {
    const ranges: OutputRange[] = []
    for (const [stream, end] of due) {
      const pending = this.#streams.get(stream)!
      while (pending.told < end) {
        const length = Math.min(end - pending.told, OUTPUT_EVENT_BYTES)
        ranges.push({ stream, offset: pending.told, length })
        pending.told += length
      }
    }
    return ranges
  }
}

/**
 * How many bytes at the end are the beginning of a character whose rest has not come: 0 to 3. Bytes that are no
 * UTF-8 count as whole, so nothing is ever held back for longer than one character.
 */
function incompleteUtf8(tail: Buffer): number {
  for (let back = 1; back <= Math.min(3, tail.length); back++) {
    const byte = tail[tail.length - back]!
    if (byte < 0x80) return 0
    if (byte < 0xc0) continue
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return needs > back ? back : 0
  }
  return 0
}
