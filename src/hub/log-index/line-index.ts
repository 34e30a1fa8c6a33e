import { crc32 } from 'node:zlib'
import type { StreamName } from '../../contract/attempt.ts'

/** Limits the bytes of a piece, which are read to find one of its lines. */
export const PIECE_BYTES = 64 * 1024
/** Milliseconds within which bytes form one piece with one time. */
const PIECE_MS = 500
const PIECE_FIELDS = 40
const NONE = 0xffffffff
const NEWLINE = 10
/** Version of the file. A file of another version is rebuilt. */
const VERSION = 2
const streams: readonly StreamName[] = ['stdout', 'stderr']
/** Flag that shares a field with the stream. */
const UNORDERED = 2

/** A stretch of bytes of one stream, and the lines that begin in it. */
export interface Piece {
  stream: StreamName
  offset: number
  length: number
  /** Number of lines that begin before it, in either stream. */
  before: number
  /** Number of lines that begin in it; they are numbered from `before + 1`. */
  lines: number
  /** Offset of the first of these lines, relative to `offset`. */
  firstAt: number
  /** When the hub received its first bytes, in milliseconds since 1970. */
  timeMs: number
  /** True if the place of its lines among those of the other stream is not known. */
  unordered: boolean
}

interface OpenLine {
  number: number
  unordered: boolean
  offset: number
  timeMs: number
}

/** Everything in an index except its pieces. */
interface Head {
  /** `seq` is the last event of the run that was read, `outputSeq` the last one with output. */
  seq: number
  outputSeq: number
  /** `begun`: the log mentions the attempt. `finished`: nothing more follows. */
  begun: boolean
  finished: boolean
  total: number
  told: Record<StreamName, number>
  /** The last line of each stream that may still grow. */
  open: Partial<Record<StreamName, OpenLine>>
  /** The last consecutive lines on stderr. */
  lastStderr?: { from: number; to: number }
  lastLineOf?: StreamName
}

/**
 * Finds the lines of one attempt. A line is placed where its first byte arrived in the order of both streams, so its
 * number never changes. The index stores only pieces of up to 64 KiB, with 40 bytes each. Lines are found in the
 * piece's own bytes.
 */
export class LineIndex {
  readonly head: Head
  #pieces: Buffer
  #count: number

  private constructor(head: Head, pieces: Buffer) {
    this.head = head
    this.#pieces = pieces
    this.#count = pieces.length / PIECE_FIELDS
  }

  static empty(): LineIndex {
    const reported = { stdout: 0, stderr: 0 }
    const head = { seq: 0, outputSeq: 0, begun: false, finished: false, total: 0, told: reported, open: {} }
    return new LineIndex(head, Buffer.alloc(0))
  }

  get total(): number {
    return this.head.total
  }

  /** Number of pieces. */
  get count(): number {
    return this.#count
  }

  /** Bytes of memory that the pieces take. */
  get bytes(): number {
    return this.#pieces.length
  }

  /** Adds the next bytes of a stream, which follow those added before. */
  add(stream: StreamName, bytes: Uint8Array, timeMs: number, unordered = false): void {
    for (let at = 0; at < bytes.length; ) {
      const room = this.#roomIn(stream, timeMs, unordered)
      const part = bytes.subarray(at, at + (room > 0 ? room : PIECE_BYTES))
      if (room === 0) this.#begin(stream, timeMs, unordered)
      this.#extend(stream, part, timeMs, unordered)
      at += part.length
    }
  }

  #roomIn(stream: StreamName, timeMs: number, unordered: boolean): number {
    if (this.#count === 0) return 0
    const last = this.piece(this.#count - 1)
    const isSame = last.stream === stream && last.unordered === unordered
    return isSame && timeMs - last.timeMs < PIECE_MS ? PIECE_BYTES - last.length : 0
  }

  #begin(stream: StreamName, timeMs: number, unordered: boolean): void {
    const at = this.#count * PIECE_FIELDS
    if (at === this.#pieces.length)
      this.#pieces = Buffer.concat([
        this.#pieces,
        Buffer.alloc(PIECE_FIELDS * Math.max(16, this.#count >> 1)),
      ])
    this.#count++
    this.#pieces.writeDoubleLE(this.head.total, at)
    this.#pieces.writeDoubleLE(this.head.told[stream], at + 8)
    this.#pieces.writeDoubleLE(timeMs, at + 16)
    this.#pieces.writeUInt32LE(0, at + 24)
    this.#pieces.writeUInt32LE(0, at + 28)
    this.#pieces.writeUInt32LE(NONE, at + 32)
    this.#pieces.writeUInt32LE(streams.indexOf(stream) | (unordered ? UNORDERED : 0), at + 36)
  }

  #extend(stream: StreamName, bytes: Uint8Array, timeMs: number, unordered: boolean): void {
    const { head } = this
    const at = (this.#count - 1) * PIECE_FIELDS
    const lengthBefore = this.#pieces.readUInt32LE(at + 24)
    let lines = 0
    let first = -1
    let last = -1
    const end = bytes.length - 1
    if (head.open[stream] === undefined) {
      lines = 1
      first = 0
      last = 0
    }
    for (let index = 0; index < end; index++) {
      if (bytes[index] !== NEWLINE) continue
      lines++
      if (first < 0) first = index + 1
      last = index + 1
    }
    head.total += lines
    if (lines > 0) {
      head.open[stream] = { number: head.total, offset: head.told[stream] + last, timeMs, unordered }
      if (stream === 'stderr') {
        const from = head.lastLineOf === 'stderr' ? head.lastStderr!.from : head.total - lines + 1
        head.lastStderr = { from, to: head.total }
      }
      head.lastLineOf = stream
      if (this.#pieces.readUInt32LE(at + 32) === NONE)
        this.#pieces.writeUInt32LE(lengthBefore + first, at + 32)
    }
    if (bytes[end] === NEWLINE) delete head.open[stream]
    head.told[stream] += bytes.length
    this.#pieces.writeUInt32LE(lengthBefore + bytes.length, at + 24)
    this.#pieces.writeUInt32LE(this.#pieces.readUInt32LE(at + 28) + lines, at + 28)
  }

  piece(index: number): Piece {
    const at = index * PIECE_FIELDS
    const name = this.#pieces.readUInt32LE(at + 36)
    return {
      before: this.#pieces.readDoubleLE(at),
      offset: this.#pieces.readDoubleLE(at + 8),
      timeMs: this.#pieces.readDoubleLE(at + 16),
      length: this.#pieces.readUInt32LE(at + 24),
      lines: this.#pieces.readUInt32LE(at + 28),
      firstAt: this.#pieces.readUInt32LE(at + 32),
      stream: streams[name & 1]!,
      unordered: (name & UNORDERED) !== 0,
    }
  }

  /** Returns the index of the piece in which a line begins; `number` is 1 to `total`. */
  pieceOf(number: number): number {
    let low = 0
    let high = this.#count - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#pieces.readDoubleLE(middle * PIECE_FIELDS) < number) low = middle
      else high = middle - 1
    }
    return low
  }

  /**
   * Returns consecutive stretches of lines of one stream, starting at a line; `next` is where those after `most`
   * begin.
   */
  stretches(
    stream: StreamName,
    from: number,
    most: number,
  ): { stretches: [number, number][]; next?: number } {
    const stretches: [number, number][] = []
    for (let at = this.#count === 0 ? 0 : this.pieceOf(from); at < this.#count; at++) {
      const { before, lines, stream: own } = this.piece(at)
      const first = Math.max(from, before + 1)
      const last = before + lines
      if (own !== stream || first > last) continue
      const latest = stretches.at(-1)
      if (latest !== undefined && latest[1] + 1 === first) latest[1] = last
      else if (stretches.length === most) return { stretches, next: first }
      else stretches.push([first, last])
    }
    return { stretches }
  }

  /**
   * Returns where the last line that begins in a piece ends, without its line break. `open` means that it may still
   * grow.
   */
  endOfLastLine(index: number): { end: number; open: boolean } {
    const { stream } = this.piece(index)
    const name = streams.indexOf(stream)
    for (let next = index + 1; next < this.#count; next++) {
      const at = next * PIECE_FIELDS
      if ((this.#pieces.readUInt32LE(at + 36) & 1) !== name || this.#pieces.readUInt32LE(at + 28) === 0)
        continue
      const { offset, firstAt } = this.piece(next)
      return { end: offset + firstAt - 1, open: false }
    }
    const open = this.head.open[stream] !== undefined
    return { end: this.head.told[stream] - (open ? 0 : 1), open }
  }

  /** Returns the index in file form, for the run that was created at `madeAt`. */
  toFile(madeAt: string): Buffer {
    const pieces = this.#pieces.subarray(0, this.#count * PIECE_FIELDS)
    const head = JSON.stringify({ version: VERSION, madeAt, crc: crc32(pieces), ...this.head })
    return Buffer.concat([Buffer.from(`${head}\n`), pieces])
  }

  /** Reads an index, or returns undefined if the file has another version or run, or is incomplete. */
  static fromFile(file: Buffer, madeAt: string): LineIndex | undefined {
    const end = file.indexOf(NEWLINE)
    try {
      const { version, madeAt: of, crc, ...head } = JSON.parse(file.toString('utf8', 0, end))
      const pieces = file.subarray(end + 1)
      if (version !== VERSION || of !== madeAt || pieces.length % PIECE_FIELDS !== 0) return undefined
      return crc32(pieces) === crc ? new LineIndex(head, pieces) : undefined
    } catch {
      return undefined
    }
  }
}
