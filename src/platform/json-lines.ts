import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs'

/** Reads one line. Undefined, or an exception, marks a line that is not an entry. */
type ParseLine<Entry> = (text: string) => Entry | undefined

interface JsonLinesOptions<Entry> {
  /** Default: `JSON.parse`. */
  parse?: ParseLine<Entry>
  /** Puts each appended entry on the disk, so that it survives a power cut; default false. */
  durable?: boolean
  /** Empties the file first; default false. */
  fresh?: boolean
}

/** A file with one JSON text per line, to which one process appends. */
export class JsonLines<Entry> {
  /** Entries that were in the file when it was opened. */
  readonly entries: readonly Entry[]
  /** Number of bytes after the last valid line, which opening cut off: a killed process leaves a part of a line. */
  readonly dropped: number
  readonly #path: string
  readonly #durable: boolean
  #descriptor: number | undefined
  #bytes: number

  /** Opens the file, or creates it, readable for its user only. Throws if that fails. */
  constructor(path: string, options: JsonLinesOptions<Entry> = {}) {
    const { parse = (text) => JSON.parse(text) as Entry, durable = false, fresh = false } = options
    this.#path = path
    this.#durable = durable
    this.#descriptor = openSync(path, 'a+', 0o600)
    if (fresh) ftruncateSync(this.#descriptor, 0)
    const content = readFileSync(this.#descriptor)
    const { entries, bytes } = entriesIn(content, parse)
    if (bytes < content.length) ftruncateSync(this.#descriptor, bytes)
    this.entries = entries
    this.#bytes = bytes
    this.dropped = content.length - bytes
  }

  /** Appends an entry. If it cannot be written completely, removes what was written of it and throws. */
  append(entry: Entry): void {
    if (this.#descriptor === undefined) throw new Error(`${this.#path} is closed`)
    const line = Buffer.from(`${JSON.stringify(entry)}\n`)
    try {
      for (let at = 0; at < line.length; ) at += writeSync(this.#descriptor, line, at)
    } catch (error) {
      // A part of a line would corrupt the next one.
      ftruncateSync(this.#descriptor, this.#bytes)
      throw error
    }
    this.#bytes += line.length
    if (this.#durable) fdatasyncSync(this.#descriptor)
  }

  /** Closes the file. Idempotent. */
  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}

/** Returns the entries up to the first line that is incomplete or not an entry, and their length in bytes. */
function entriesIn<Entry>(content: Buffer, parse: ParseLine<Entry>): { entries: Entry[]; bytes: number } {
  const entries: Entry[] = []
  let bytes = 0
  for (let end = content.indexOf(10); end >= 0; end = content.indexOf(10, bytes)) {
    const entry = parsed(content.toString('utf8', bytes, end), parse)
    if (entry === undefined) break
    entries.push(entry)
    bytes = end + 1
  }
  return { entries, bytes }
}

/**
 * Returns the entries in the complete lines after that byte, without lines that are not entries, and the byte to
 * continue from. A missing file has none. Another process may be appending.
 */
export function readJsonLines<Entry>(
  path: string,
  offset: number,
  parse: ParseLine<Entry>,
): { entries: Entry[]; offset: number } {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { entries: [], offset }
    throw error
  }
  try {
    const size = fstatSync(descriptor).size
    if (size <= offset) return { entries: [], offset }
    const buffer = Buffer.alloc(size - offset)
    const read = buffer.subarray(0, readSync(descriptor, buffer, 0, buffer.length, offset))
    const end = read.lastIndexOf(10) + 1
    const lines = read.toString('utf8', 0, end).split('\n')
    const entries = lines.map((line) => parsed(line, parse)).filter((entry) => entry !== undefined)
    return { entries, offset: offset + end }
  } finally {
    closeSync(descriptor)
  }
}

function parsed<Entry>(text: string, parse: ParseLine<Entry>): Entry | undefined {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}
