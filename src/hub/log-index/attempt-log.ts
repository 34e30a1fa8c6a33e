import { setImmediate as nextRound } from 'node:timers/promises'
import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import { Mutex } from '../../platform/sync.ts'
import { LineIndex, type Piece } from './line-index.ts'

const WINDOW_BYTES = 256 * 1024
/** Number of events between two turns of the event loop. */
const EVENTS_A_ROUND = 200
const RETURN = 13

export type ReadBytes = (stream: StreamName, start: number, end: number) => Promise<Buffer>

/** A line as a request gets it. */
export interface ShownLine {
  number: number
  stream: StreamName
  /** When the hub received the bytes that it begins in. */
  timeMs: number
  text: string
  /** Bytes of the whole line, if `text` is only a part of it. */
  length?: number
  /** Number of bytes before `text` that are left out because carriage returns overwrite them. */
  leftOut?: number
  /** True while its line break has not arrived. */
  open: boolean
  /** True if its place among the lines of the other stream is not known. */
  unordered: boolean
}

/** Reads both streams, each through a moving window: in a log, pieces of the two alternate. */
class Windows {
  readonly #read: ReadBytes
  readonly #reported: Readonly<Record<StreamName, number>>
  readonly #held: Partial<Record<StreamName, { start: number; bytes: Buffer }>> = {}

  constructor(read: ReadBytes, reported: Readonly<Record<StreamName, number>>) {
    this.#read = read
    this.#reported = reported
  }

  /** Returns the bytes `[start, end)` of a stream; fewer if the file has lost some. */
  async bytes(stream: StreamName, start: number, end: number): Promise<Buffer> {
    const held = this.#held[stream]
    if (held !== undefined && start >= held.start && end <= held.start + held.bytes.length)
      return held.bytes.subarray(start - held.start, end - held.start)
    const to = Math.max(end, Math.min(this.#reported[stream], start + WINDOW_BYTES))
    const bytes = await this.#read(stream, start, to)
    this.#held[stream] = { start, bytes }
    return bytes.subarray(0, end - start)
  }
}

/** Consecutive lines of one stream. */
export interface Block {
  bytes: Buffer
  /** Number of its first line. */
  number: number
  stream: StreamName
  timeMs: number
}

/** The lines of one attempt: an index that grows with the log of the run, and reads that use it. */
export class AttemptLog {
  index: LineIndex
  /** Bytes and events since the index was last stored. */
  unkept = { bytes: 0, events: 0 }
  readonly #number: number
  readonly #growth = new Mutex()

  constructor(number: number, index: LineIndex = LineIndex.empty()) {
    this.#number = number
    this.index = index
  }

  /**
   * Reads the events after the known ones, up to `lastSeq`. Resolves to false if `untilMs` (of `performance.now`)
   * came first; the next call continues.
   */
  grow(from: GrowFrom): Promise<boolean> {
    return this.#growth.run(() => this.#grow(from))
  }

  async #grow({ events, read, lastSeq, untilMs }: GrowFrom): Promise<boolean> {
    const { head } = this.index
    if (head.finished || head.seq >= lastSeq) return true
    let count = 0
    for await (const event of events(head.seq)) {
      if ('attempt' in event && event.attempt === this.#number) {
        head.begun = true
        if (event.type === 'output') {
          await this.#add(event, read)
          head.outputSeq = event.seq
        } else if (event.type === 'attempt.finished') head.finished = true
      }
      head.seq = event.seq
      this.unkept.events++
      if (head.finished || event.seq >= lastSeq) return true
      if (performance.now() > untilMs) return false
      if (++count % EVENTS_A_ROUND === 0) await nextRound()
    }
    return true
  }

  /**
   * Adds the bytes of an output event. Reported bytes that are no longer there are unknown, so they count as part of
   * a line that continues.
   */
  async #add({ stream, offset, length, time, unordered }: EventOf<'output'>, read: ReadBytes): Promise<void> {
    const timeMs = Date.parse(time)
    const end = offset + length
    // Bytes that were added before a failure are not added again.
    for (let at = Math.max(offset, this.index.head.told[stream]); at < end; ) {
      const bytes = await read(stream, at, Math.min(end, at + WINDOW_BYTES))
      const known = bytes.length > 0 ? bytes : Buffer.alloc(Math.min(end - at, WINDOW_BYTES))
      this.index.add(stream, known, timeMs, unordered === true)
      this.unkept.bytes += known.length
      at += known.length
    }
  }

  /** Returns the lines `from` to `to`, both included, each cut after `cutBytes`. */
  async lines(from: number, to: number, cutBytes: number, read: ReadBytes): Promise<ShownLine[]> {
    const found: ShownLine[] = []
    const last = Math.min(to, this.index.total)
    if (from > last) return found
    const windows = new Windows(read, this.index.head.told)
    for (let at = this.index.pieceOf(from); at < this.index.count; at++) {
      const piece = this.index.piece(at)
      if (piece.before >= last) break
      if (piece.lines === 0) continue
      const start = piece.offset + piece.firstAt
      const bytes = await windows.bytes(piece.stream, start, piece.offset + piece.length)
      let number = piece.before
      for (let begin = 0; begin < bytes.length && number < last; ) {
        number++
        const newline = bytes.indexOf(10, begin)
        const { end, open } =
          newline < 0 ? this.index.endOfLastLine(at) : { end: start + newline, open: false }
        if (number >= from) {
          const text = (a: number, b: number) =>
            b - start <= bytes.length
              ? bytes.subarray(a - start, b - start)
              : windows.bytes(piece.stream, a, b)
          const shown = await cutLine(text, start + begin, end, cutBytes)
          const { stream, timeMs, unordered } = piece
          found.push({ number, stream, timeMs, ...shown, open, unordered })
        }
        if (newline < 0) break
        begin = newline + 1
      }
    }
    return found
  }

  /** Returns the last line of each stream that may still grow. */
  async open(cutBytes: number, read: ReadBytes): Promise<ShownLine[]> {
    const { open, told } = this.index.head
    const lines = (Object.entries(open) as [StreamName, NonNullable<(typeof open)[StreamName]>][]).map(
      async ([stream, { number, offset, timeMs, unordered }]) => {
        const text = (a: number, b: number) => read(stream, a, b)
        const shown = await cutLine(text, offset, told[stream], cutBytes)
        return { number, stream, timeMs, ...shown, open: true, unordered }
      },
    )
    return (await Promise.all(lines)).sort((a, b) => a.number - b.number)
  }

  /**
   * Returns blocks of whole lines that begin in the pieces from `first` on, up to `mostBytes` or `mostPieces`. A line
   * that continues after its piece adds at most `LINE_BYTES`. `next` is the piece after them.
   */
  async blocks(
    first: number,
    [mostBytes, mostPieces]: readonly [number, number],
    read: ReadBytes,
  ): Promise<{ blocks: Block[]; next: number }> {
    const windows = new Windows(read, this.index.head.told)
    const blocks: Block[] = []
    let bytes = 0
    let next = first
    for (; next < this.index.count && bytes < mostBytes && next - first < mostPieces; next++) {
      const piece = this.index.piece(next)
      if (piece.lines === 0) continue
      const end = Math.min(this.index.endOfLastLine(next).end, piece.offset + piece.length + LINE_BYTES)
      const block = await this.#block(piece, end, windows)
      blocks.push(block)
      bytes += block.bytes.length
    }
    return { blocks, next }
  }

  async #block({ stream, offset, firstAt, before, timeMs }: Piece, end: number, windows: Windows) {
    const bytes = await windows.bytes(stream, offset + firstAt, Math.max(end, offset + firstAt))
    return { bytes, number: before + 1, stream, timeMs }
  }
}

/** Bytes after the piece in which a line begins that a search still covers. */
const LINE_BYTES = 1024 * 1024

export interface GrowFrom {
  /** Returns the events of the run after this seq, without texts of outputs. It may wait at the end. */
  events: (after: number) => AsyncIterable<RunEvent>
  read: ReadBytes
  lastSeq: number
  untilMs: number
}

async function cutLine(
  bytes: (start: number, end: number) => Buffer | Promise<Buffer>,
  start: number,
  end: number,
  cutBytes: number,
): Promise<{ text: string; length?: number; leftOut?: number }> {
  const length = end - start
  if (length <= cutBytes) {
    const whole = await bytes(start, end)
    const isReturn = whole.length > 0 && whole[whole.length - 1] === RETURN
    return { text: (isReturn ? whole.subarray(0, -1) : whole).toString('utf8') }
  }
  const tail = await bytes(end - cutBytes, end)
  const at = tail.subarray(0, -1).indexOf(RETURN)
  if (at >= 0) {
    const isReturn = tail[tail.length - 1] === RETURN
    const text = tail.toString('utf8', at + 1, isReturn ? tail.length - 1 : tail.length)
    return { text, length, leftOut: length - tail.length + at + 1 }
  }
  const head = await bytes(start, start + cutBytes)
  return { text: head.toString('utf8', 0, wholeCharacters(head)), length }
}

/** Returns how many bytes remain without an incomplete character at the end. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) break
    if (byte < 0xc0) continue
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return needs > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}
