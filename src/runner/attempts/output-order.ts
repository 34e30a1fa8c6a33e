import type { StreamName } from '../../contract/attempt.ts'
import type { OutputPart } from '../ports.ts'
import { type Look, PLACE_BYTES } from './size-watch.ts'

/** Bytes of one stream, up to these lengths of both. */
interface Part extends Record<StreamName, number> {
  stream: StreamName
  unordered: boolean
}

/** Parts beyond this number are joined, as long as each line stays near its place. */
const MOST_PARTS = 20_000

/** Returns the line of text for the bytes of a stream up to `end`; `takeText` reads it. */
export const orderLine = (stream: StreamName, end: number, unordered = false): string =>
  `${stream} ${end}${unordered ? ' unordered' : ''}\n`

/** Records the order in which both streams of an attempt came, as parts of one or the other. */
export class OutputOrder {
  #parts: Part[] = []
  #most = MOST_PARTS

  length(stream: StreamName): number {
    return this.#parts.at(-1)?.[stream] ?? 0
  }

  /** Number of parts; the last one may grow. */
  get count(): number {
    return this.#parts.length
  }

  /** Adds the next bytes of a stream. `unordered` means that their place relative to the other stream is unknown. */
  extend(stream: StreamName, bytes: number, unordered = false): void {
    if (bytes <= 0) return
    const last = this.#parts.at(-1)
    if (last?.stream === stream && last.unordered === unordered) {
      last[stream] += bytes
      return
    }
    const part = { stdout: last?.stdout ?? 0, stderr: last?.stderr ?? 0, stream, unordered }
    part[stream] += bytes
    this.#parts.push(part)
    if (this.#parts.length > this.#most) this.#join()
  }

  /** Records the present lengths. If both have grown a lot, the smaller part comes last and is unordered. */
  look({ stdout, stderr, sure }: Look): void {
    const out = Math.max(0, stdout - this.length('stdout'))
    const err = Math.max(0, stderr - this.length('stderr'))
    const isSure = sure && (Math.min(out, err) === 0 || Math.max(out, err) <= PLACE_BYTES)
    if (err <= out) {
      this.extend('stdout', out)
      this.extend('stderr', err, !isSure)
    } else {
      this.extend('stderr', err, !isSure && out === 0)
      this.extend('stdout', out, !isSure)
    }
  }

  /** Returns the part that follows the `known` lengths of both streams, or undefined if there is no more. */
  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    let low = 0
    let high = this.#parts.length
    while (low < high) {
      const middle = (low + high) >> 1
      const { stdout, stderr } = this.#parts[middle]!
      if (stdout > known.stdout || stderr > known.stderr) high = middle
      else low = middle + 1
    }
    const part = this.#parts[low]
    if (part === undefined) return undefined
    // The bytes of the other stream were reported in another order.
    const stream = part[part.stream] > known[part.stream] ? part.stream : other(part.stream)
    const offset = known[stream]
    return { stream, offset, length: part[stream] - offset, ...(part.unordered && { unordered: true }) }
  }

  /** Returns the parts as lines of text. */
  toText(): string {
    return this.#parts
      .map(({ stream, unordered, ...ends }) => orderLine(stream, ends[stream], unordered))
      .join('')
  }

  /** Reads the text of `toText`. It ignores incomplete lines and lengths beyond `most`. */
  takeText(text: string, most: Readonly<Record<StreamName, number>>): void {
    for (const [, stream, end, unordered] of text.matchAll(/^(stdout|stderr) (\d+)( unordered)?\n/gm)) {
      const name = stream as StreamName
      this.extend(name, Math.min(Number(end), most[name]) - this.length(name), unordered !== undefined)
    }
  }

  #join(): void {
    const joined = new OutputOrder()
    joined.#most = Number.POSITIVE_INFINITY
    let loose: Part | undefined
    const settle = () => {
      if (loose) joined.look({ stdout: loose.stdout, stderr: loose.stderr, sure: true })
      loose = undefined
    }
    for (const part of this.#parts) {
      const { stream, stdout, stderr, unordered } = part
      const grown = Math.max(stdout - joined.length('stdout'), stderr - joined.length('stderr'))
      if (unordered || grown > PLACE_BYTES) settle()
      if (unordered) joined.extend(stream, part[stream] - joined.length(stream), true)
      else loose = part
    }
    settle()
    this.#parts = joined.#parts
    this.#most = MOST_PARTS + this.#parts.length
  }
}

const other = (stream: StreamName): StreamName => (stream === 'stdout' ? 'stderr' : 'stdout')
