import type { StreamName } from '../../contract/attempt.ts'

/** Output events are joined to about ten a second per attempt, but hold no more than this. */
export const OUTPUT_EVENT_MS = 100
/** The first one after a pause comes sooner: somebody may be waiting for it. */
export const FIRST_OUTPUT_EVENT_MS = 10
export const OUTPUT_EVENT_BYTES = 1024 * 1024

/** Parts of both streams that are smaller than this are told of as one of each, if they are many. */
const JOINED_BYTES = 16 * 1024
const MOST_PARTS = 8

export interface OutputRange {
  stream: StreamName
  offset: number
  length: number
  /** Its place among the other stream's bytes is not known. */
  unordered?: true
}

/** Bytes of one stream that came one after another, up to a length of it. */
interface Part {
  stream: StreamName
  end: number
  unordered: true | undefined
}

interface Pending {
  /** The lengths that events have told of, and that are kept. */
  told: number
  kept: number
  /** The last bytes kept, at most 3. */
  tail: Buffer
}

/** Joins the output of one attempt to events that do not cut a character in two, in the order in which it came. */
export class OutputJoiner {
  readonly #streams = new Map<StreamName, Pending>()
  /** All that is not told of. */
  #parts: Part[] = []

  /** `told`: what the log has of each stream already; `kept`: what the output store has, and `tail` its end. */
  constructor(known: Iterable<Pending & { stream: StreamName }> = []) {
    for (const { stream, ...pending } of known) {
      this.#streams.set(stream, pending)
      if (pending.kept > pending.told) this.#extend(stream, pending.kept, true)
    }
  }

  get streams(): StreamName[] {
    return [...this.#streams.keys()]
  }

  /** How much of the stream is kept. */
  kept(stream: StreamName): number {
    return this.#streams.get(stream)?.kept ?? 0
  }

  /** Bytes that end at `kept`, perhaps not all of them new; answers whether an event is to be made at once. */
  add(stream: StreamName, bytes: Buffer, kept: number, unordered?: true): boolean {
    const pending = this.#streams.get(stream) ?? { told: 0, kept: 0, tail: Buffer.alloc(0) }
    this.#streams.set(stream, pending)
    if (kept > pending.kept) {
      this.#extend(stream, kept, unordered)
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
    const left: Part[] = []
    for (const part of fewer(this.#parts, this.#told)) {
      const { stream, unordered } = part
      const pending = this.#streams.get(stream)!
      const end = Math.min(part.end, due.get(stream) ?? 0)
      while (pending.told < end) {
        const length = Math.min(end - pending.told, OUTPUT_EVENT_BYTES)
        ranges.push({ stream, offset: pending.told, length, ...(unordered && { unordered }) })
        pending.told += length
      }
      if (part.end > end) left.push(part)
    }
    this.#parts = left
    // The beginning of a character whose rest has never come.
    for (const [stream, end] of due) {
      const pending = this.#streams.get(stream)!
      if (pending.told >= end) continue
      ranges.push({ stream, offset: pending.told, length: end - pending.told })
      pending.told = end
    }
    return ranges
  }

  get #told(): Record<StreamName, number> {
    const told = (stream: StreamName) => this.#streams.get(stream)?.told ?? 0
    return { stdout: told('stdout'), stderr: told('stderr') }
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

/** The parts, where they are many with each two small ones of both streams as one of each: a line stays near its place. */
function fewer(parts: Part[], told: Readonly<Record<StreamName, number>>): Part[] {
  if (parts.length <= MOST_PARTS) return parts
  const joined: Part[] = []
  const before = { ...told }
  let group = { ...told }
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
