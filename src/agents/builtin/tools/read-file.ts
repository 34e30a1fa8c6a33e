import * as z from 'zod'
import { isBinary, openRegular } from './text-file.ts'
import { defineTool, OUTPUT_BYTES, ToolError } from './tool.ts'

const Args = z.object({
  path: z.string().min(1),
  first_line: z.int().min(1).default(1).describe('Where to begin, counted from 1'),
  lines: z.int().min(1).default(2000).describe('How many at most'),
})

export const readFile = defineTool({
  name: 'read_file',
  kind: 'read',
  description: 'Reads a text file, or a range of its lines. Long files come in parts.',
  args: Args,
  title: ({ path }) => `Read ${path}`,
  paths: ({ path }) => [path],
  async run({ path, first_line, lines }, { paths, signal }) {
    const { file, stat } = await openRegular(paths[0]!)
    try {
      if (await isBinary(file)) throw new ToolError(`${path} is binary (${stat.size} bytes).`)
      const range = new LineRange(first_line, lines)
      // Read piece by piece: a file may be larger than memory.
      for await (const chunk of file.createReadStream({ start: 0, autoClose: false, signal }))
        if (range.take(chunk as Buffer)) break
      return { output: range.text(stat.size) }
    } finally {
      await file.close()
    }
  },
})

/** Picks lines out of a file that comes in chunks. */
class LineRange {
  readonly #first: number
  readonly #end: number
  readonly #parts: Buffer[] = []
  #bytes = 0
  /** The line that the next byte belongs to. */
  #line = 1
  #stopped: 'cut' | 'more' | undefined

  constructor(first: number, count: number) {
    this.#first = first
    this.#end = first + count
  }

  /** True: no more is needed. */
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
    const kept = part.subarray(0, OUTPUT_BYTES - this.#bytes)
    if (kept.length < part.length) this.#stopped = 'cut'
    this.#parts.push(kept)
    this.#bytes += kept.length
  }

  text(size: number): string {
    const text = Buffer.concat(this.#parts).toString()
    if (this.#stopped === 'more') return `${text}… (go on with first_line ${this.#line})`
    if (this.#stopped === 'cut')
      return `${text}\n… (cut within line ${this.#line}; a line longer than this can be had with a command)`
    if (text !== '') return text
    return size === 0 ? '(the file is empty)' : `(the file ends before line ${this.#first})`
  }
}
