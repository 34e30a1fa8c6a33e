import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { TailFile } from '../../platform/tail-file.ts'

const CHUNK_BYTES = 256 * 1024
/** Limit in bytes; a longer line is not a message of any agent's protocol, and is skipped. */
export const MAX_LINE_BYTES = 32 * 1024 * 1024
const NEWLINE = 10

/** Reads the lines of a growing file, and tracks how far. */
export class LineReader {
  readonly #file: TailFile
  /** Bytes of the lines passed on. */
  offset = 0
  #begun: Buffer[] = []
  #begunBytes = 0

  constructor(file: TailFile) {
    this.#file = file
  }

  /**
   * Passes on the lines that end at or before `end`; with `all`, also a last line without a newline. One call at a
   * time. Stops if `onLine` returns false.
   */
  async read(end: number, onLine: (line: string) => boolean, all = false): Promise<void> {
    while (this.#seen < end) {
      const chunk = await this.#file.read(this.#seen, Math.min(CHUNK_BYTES, end - this.#seen))
      if (chunk.length === 0) return
      let from = 0
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        this.#keep(chunk.subarray(from, at))
        from = at + 1
        if (!this.#hand(1, onLine)) return
      }
      this.#keep(Buffer.from(chunk.subarray(from)))
    }
    if (all && this.#begunBytes > 0) this.#hand(0, onLine)
  }

  get #seen(): number {
    return this.offset + this.#begunBytes
  }

  #keep(part: Buffer): void {
    this.#begunBytes += part.length
    if (this.#begunBytes > MAX_LINE_BYTES) this.#begun = []
    else if (part.length > 0) this.#begun.push(part)
  }

  #hand(newlineBytes: number, onLine: (line: string) => boolean): boolean {
    const bytes = this.#begunBytes
    const line = this.#begun.length === 1 ? this.#begun[0]! : Buffer.concat(this.#begun)
    this.offset += bytes + newlineBytes
    this.#begun = []
    this.#begunBytes = 0
    return bytes > MAX_LINE_BYTES ? true : onLine(line.toString('utf8'))
  }
}

/**
 * Stores everything that is sent to a program in a file. What a replayed conversation sends again is compared, not
 * sent.
 */
export class LineWriter {
  readonly #path: string
  #fd: number | undefined
  #before: Buffer
  #position = 0

  /** Opens the file, and creates it if it does not exist. */
  constructor(path: string) {
    this.#path = path
    this.#fd = openSync(path, 'a', 0o600)
    this.#before = readFileSync(path)
  }

  /** Sends a line. Throws if it cannot be written, or if something else was sent at this place before. */
  send(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    const there = this.#before.subarray(this.#position, this.#position + bytes.length)
    if (!there.equals(bytes.subarray(0, there.length)))
      throw new Error(
        `${this.#path} contains something else at ${this.#position}: another version of Errand wrote it`,
      )
    this.#position += bytes.length
    // If the file ended within a line, its rest follows.
    const rest = bytes.subarray(there.length)
    for (let at = 0; at < rest.length; ) at += writeSync(this.#open(), rest, at)
    if (this.#position >= this.#before.length) this.#before = Buffer.alloc(0)
  }

  /** Closes the file. Idempotent. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #open(): number {
    if (this.#fd === undefined) throw new Error(`${this.#path} is closed`)
    return this.#fd
  }
}
