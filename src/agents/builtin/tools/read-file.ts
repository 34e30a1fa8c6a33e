import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import * as z from 'zod'
import { defineTool, OUTPUT_BYTES, ToolError } from './tool.ts'

const Args = z.object({
  path: z.string().min(1),
  first_line: z.int().min(1).default(1).describe('Where to begin, counted from 1'),
  lines: z.int().min(1).default(2000).describe('How many at most'),
})

export const readFile = defineTool({
  name: 'read_file',
  kind: 'read',
  description: 'Reads a text file, or a range of its lines. Long files are returned in parts.',
  args: Args,
  title: ({ path }) => `Read ${path}`,
  paths: ({ path }) => [path],
  async run({ path, first_line, lines }, { paths, signal }) {
    const { file, stat } = await openRegular(paths[0]!)
    try {
      if (await isBinary(file)) throw new ToolError(`${path} is binary (${stat.size} bytes).`)
      const range = new LineRange(first_line, lines)
      // Read in chunks, since a file may be larger than memory.
      for await (const chunk of file.createReadStream({ start: 0, autoClose: false, signal }))
        if (range.take(chunk as Buffer)) break
      return { output: range.text(stat.size) }
    } finally {
      await file.close()
    }
  },
})

/** Collects a range of lines from a file that is read in chunks. */
class LineRange {
  readonly #first: number
  readonly #end: number
  readonly #parts: Buffer[] = []
  #bytes = 0
  /** Number of the line to which the next byte belongs. */
  #line = 1
  #stopped: 'cut' | 'more' | undefined

  constructor(first: number, count: number) {
    this.#first = first
    this.#end = first + count
  }

  /** Takes a chunk and returns whether the range is complete. */
  take(chunk: Buffer): boolean {
    for (let at = 0; at < chunk.length && this.#stopped === undefined; ) {
      if (this.#line >= this.#end) {
        this.#stopped = 'more'
        break
      }
      const newline = chunk.indexOf(10, at)
      const end = newline < 0 ? chunk.length : newline + 1
      if (this.#line >= this.#first) this.#keep(chunk.subarray(at, end))
      if (newline >= 0 && this.#stopped === undefined) this.#line++
      at = end
    }
    return this.#stopped !== undefined
  }

  #keep(part: Buffer): void {
    const fitting = part.subarray(0, OUTPUT_BYTES - this.#bytes)
    if (fitting.length < part.length) this.#stopped = 'cut'
    this.#parts.push(fitting)
    this.#bytes += fitting.length
  }

  text(size: number): string {
    const text = Buffer.concat(this.#parts).toString()
    if (this.#stopped === 'more') return `${text}… (continue with first_line ${this.#line})`
    if (this.#stopped === 'cut')
      return `${text}\n… (cut within line ${this.#line}; use a command to read a longer line)`
    if (text !== '') return text
    return size === 0 ? '(the file is empty)' : `(the file ends before line ${this.#first})`
  }
}

/** Largest file that is read as a whole; texts that people edit are smaller. */
export const WHOLE_FILE_BYTES = 10 * 1024 * 1024
const PROBE_BYTES = 8192

/** Opens a regular file for reading. `path` is a real path; fails if a link has replaced the file since. */
export async function openRegular(path: string): Promise<{ file: FileHandle; stat: Stats }> {
  // Without O_NONBLOCK, opening a FIFO waits for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = await file.stat()
    if (stat.isDirectory()) throw new ToolError(`${path} is a folder. Use list_files.`)
    if (!stat.isFile()) throw new ToolError(`${path} is not a regular file.`)
    return { file, stat }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Reports whether a file has a NUL near its beginning, which is git's test for binary files. */
export async function isBinary(file: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0)
  return buffer.subarray(0, bytesRead).includes(0)
}

/** Content of a whole text file, or why it cannot be read as text. */
type Read =
  | { type: 'text'; text: string; mode: number }
  | { type: 'binary' | 'too_large'; bytes: number; mode: number }

/** Reads a whole text file. Throws the errors of node:fs. */
export async function readText(path: string): Promise<Read> {
  const { file, stat } = await openRegular(path)
  const { size: bytes, mode } = stat
  try {
    if (bytes > WHOLE_FILE_BYTES) return { type: 'too_large', bytes, mode }
    if (await isBinary(file)) return { type: 'binary', bytes, mode }
    const content = await file.readFile()
    // A byte order mark stays part of the text, so that it is written back.
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    return { type: 'text', text: decoder.decode(content), mode }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      return { type: 'binary', bytes, mode }
    throw error
  } finally {
    await file.close()
  }
}

/** Reads a whole text file, or returns undefined if it does not exist. */
export async function readTextIfThere(path: string): Promise<Read | undefined> {
  try {
    return await readText(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
