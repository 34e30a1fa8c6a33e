import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf } from '../../contract/events.ts'
import { lineText, terminalText } from './terminal-text.ts'
import { bytesText } from './units.ts'

/** A line without an end is shown in pieces of this many characters. */
const MAX_LINE = 16 * 1024

/** What is kept of the end of a stream. */
const [LAST_LINES, LAST_CHARACTERS] = [5, 300]

interface Shown {
  shownBytes: number
  hiddenBytes: number
  partial: string
  last: string[]
}

/** What stands before each line of a stream. */
type Prefix = (stream: StreamName) => string

/** Cuts the output of one attempt into lines with a prefix, and shows no more of a stream than `maxBytes`. */
export class LiveLines {
  readonly #streams = new Map<StreamName, Shown>()
  readonly #maxBytes: number
  readonly #color: boolean

  constructor(maxBytes: number, color: boolean) {
    this.#maxBytes = maxBytes
    this.#color = color
  }

  /** The lines to write for an output event, each with its line feed. */
  add(event: EventOf<'output'>, prefix: Prefix): string {
    const stream = this.#stream(event.stream)
    const room = this.#maxBytes - stream.shownBytes
    const shown = Math.max(0, Math.min(room, event.length))
    stream.hiddenBytes += event.length - shown
    if (shown === 0) return ''
    stream.shownBytes += shown
    let text = event.text ?? ''
    // Characters are cut where bytes would be: Errand's own limit need not be exact, only never passed.
    if (shown < event.length)
      text = Buffer.from(text)
        .subarray(0, shown)
        .toString()
        .replace(/\ufffd$/, '')
    const lines = (stream.partial + text).split('\n')
    stream.partial = lines.pop()!
    while (stream.partial.length > MAX_LINE) {
      lines.push(stream.partial.slice(0, MAX_LINE))
      stream.partial = stream.partial.slice(MAX_LINE)
    }
    return this.#lines(event.stream, lines, prefix)
  }

  /** What is left when the attempt has ended: a last line without its end, and what was not shown. */
  end(prefix: Prefix, whole: (stream: StreamName) => string): string {
    let text = ''
    for (const [name, { partial, hiddenBytes }] of this.#streams) {
      if (partial !== '') text += this.#lines(name, [partial], prefix)
      if (hiddenBytes > 0)
        text += `${prefix(name)}... ${bytesText(hiddenBytes)} more on ${name}; the whole: ${whole(name)}\n`
    }
    return text
  }

  /** The last lines of its standard error, else of its standard output. */
  last(): readonly string[] {
    const all = [this.#streams.get('stderr'), this.#streams.get('stdout')]
    return all.find((stream) => stream !== undefined && stream.last.length > 0)?.last ?? []
  }

  #lines(name: StreamName, lines: readonly string[], prefix: Prefix): string {
    const safe = lines.map((line) =>
      terminalText(line.endsWith('\r') ? line.slice(0, -1) : line, this.#color),
    )
    const stream = this.#stream(name)
    const told = safe.slice(-LAST_LINES).filter((line) => line !== '')
    stream.last = [...stream.last, ...told.map((line) => lineText(line.slice(0, LAST_CHARACTERS)))].slice(
      -LAST_LINES,
    )
    const before = prefix(name)
    return safe.map((line) => `${before}${line}\n`).join('')
  }

  #stream(name: StreamName): Shown {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = { shownBytes: 0, hiddenBytes: 0, partial: '', last: [] }
      this.#streams.set(name, stream)
    }
    return stream
  }
}
