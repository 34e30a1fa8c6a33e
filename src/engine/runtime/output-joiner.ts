import type { StreamName } from '../../contract/attempt.ts'

/** Interval at which output is joined to events: about ten a second per attempt, each at most `OUTPUT_EVENT_BYTES`. */
export const OUTPUT_EVENT_MS = 100
/** The first event after a pause comes sooner: somebody may be waiting for it. */
export const FIRST_OUTPUT_EVENT_MS = 10
export const OUTPUT_EVENT_BYTES = 1024 * 1024

/** When there are many parts, those of both streams that are smaller than this are merged into one of each. */
const JOINED_BYTES = 16 * 1024
const MOST_PARTS = 8

export interface OutputRange {
  stream: StreamName
  offset: number
  length: number
  /** Set when its place among the other stream's bytes is unknown. */
  unordered?: true
}

/** Consecutive bytes of one stream, up to position `end`. */
interface Part {
  stream: StreamName
  end: number
  unordered: true | undefined
}

interface Pending {
  /** Length that events cover, and length that is stored. */
  reported: number
  stored: number
  /** The last bytes stored, at most 3. */
  tail: Buffer
}

/** Joins the output of one attempt to events, in the order in which it came, without cutting a character in two. */
export class OutputJoiner {
  readonly #streams = new Map<StreamName, Pending>()
  /** Everything that no event covers yet. */
  #parts: Part[] = []

  /** `told`: what the log covers of each stream; `kept`: what the output store has; `tail`: the last bytes of that. */
  constructor(known: Iterable<Pending & { stream: StreamName }> = []) {
    for (const { stream, ...pending } of known) {
      this.#streams.set(stream, pending)
      if (pending.stored > pending.reported) this.#extend(stream, pending.stored, true)
    }
  }

  get streams(): StreamName[] {
    return [...this.#streams.keys()]
  }

  /** Returns how much of the stream is stored. */
  saved(stream: StreamName): number {
    return this.#streams.get(stream)?.stored ?? 0
  }

  /** Adds bytes that end at `kept` and may be partly known. Returns whether an event is due at once. */
  add(stream: StreamName, bytes: Buffer, stored: number, unordered?: true): boolean {
    const pending = this.#streams.get(stream) ?? { reported: 0, stored: 0, tail: Buffer.alloc(0) }
    this.#streams.set(stream, pending)
    if (stored > pending.stored) {
      this.#extend(stream, stored, unordered)
      const fresh = bytes.subarray(-Math.min(3, stored - pending.stored))
      pending.tail =
        fresh.length >= 3 ? Buffer.from(fresh) : Buffer.concat([pending.tail, fresh]).subarray(-3)
      pending.stored = stored
    }
    return this.isFull
  }

  /** Reports whether an event is due at once. */
  get isFull(): boolean {
    return [...this.#streams.values()].some(({ stored, reported }) => stored - reported >= OUTPUT_EVENT_BYTES)
  }

  /**
   * Returns up to where each stream can be reported now. `all` includes an incomplete last character, since no more
   * will come.
   */
  due(all: boolean): ReadonlyMap<StreamName, number> {
    const due = new Map<StreamName, number>()
    for (const [stream, { stored, reported, tail }] of this.#streams) {
      const end = all ? stored : stored - incompleteUtf8(tail)
      if (end > reported) due.set(stream, end)
    }
    return due
  }

  /** Returns the ranges that report everything up to `due`. */
  take(due: ReadonlyMap<StreamName, number>): OutputRange[] {
    const ranges: OutputRange[] = []
    const left: Part[] = []
    for (const part of fewer(this.#parts, this.#reported)) {
      const { stream, unordered } = part
      const pending = this.#streams.get(stream)!
      const end = Math.min(part.end, due.get(stream) ?? 0)
      while (pending.reported < end) {
        const length = Math.min(end - pending.reported, OUTPUT_EVENT_BYTES)
        ranges.push({ stream, offset: pending.reported, length, ...(unordered && { unordered }) })
        pending.reported += length
      }
      if (part.end > end) left.push(part)
    }
    this.#parts = left
    // Reports an incomplete character whose rest never came.
    for (const [stream, end] of due) {
      const pending = this.#streams.get(stream)!
      if (pending.reported >= end) continue
      ranges.push({ stream, offset: pending.reported, length: end - pending.reported })
      pending.reported = end
    }
    return ranges
  }

  get #reported(): Record<StreamName, number> {
    const reportedOf = (stream: StreamName) => this.#streams.get(stream)?.reported ?? 0
    return { stdout: reportedOf('stdout'), stderr: reportedOf('stderr') }
  }

  #extend(stream: StreamName, end: number, unordered: true | undefined): void {
    const last = this.#parts.at(-1)
    if (last?.stream === stream && last.unordered === unordered) last.end = end
    else {
      // The beginning of a character goes with its end.
      if (last) last.end -= incompleteUtf8(this.#streams.get(last.stream)!.tail)
      this.#parts.push({ stream, end, unordered })
    }
  }
}

/**
 * Reduces the number of parts when there are many: small parts of both streams are merged into one of each, so that a
 * line stays near its place.
 */
function fewer(parts: Part[], reported: Readonly<Record<StreamName, number>>): Part[] {
  if (parts.length <= MOST_PARTS) return parts
  const joined: Part[] = []
  const before = { ...reported }
  let group = { ...reported }
  const settle = () => {
    for (const stream of ['stdout', 'stderr'] as const)
      if (group[stream] > before[stream]) joined.push({ stream, end: group[stream], unordered: undefined })
    Object.assign(before, group)
  }
  for (const part of parts) {
    const { stream, end, unordered } = part
    if (unordered || end - before[stream] > JOINED_BYTES) {
      settle()
      joined.push(part)
      before[stream] = end
      group = { ...before }
    } else group[stream] = end
  }
  settle()
  return joined
}

/**
 * Returns how many bytes at the end begin an incomplete character: 0 to 3. Bytes that are not UTF-8 count as complete,
 * so that at most one character is held back.
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
