import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf } from '../../contract/events.ts'
import { type TextRules, terminalText } from './terminal-text.ts'
import { bytesText } from './units.ts'

/** A line without an end is shown in pieces of this many characters. */
const MAX_LINE = 16 * 1024

interface Shown {
  shownBytes: number
  hiddenBytes: number
  partial: string
}

/** Cuts the output of one attempt into lines with a prefix, and shows no more of a stream than `maxBytes`. */
export class LiveLines {
  readonly #streams = new Map<StreamName, Shown>()
  readonly #maxBytes: number
  readonly #rules: TextRules

  constructor(maxBytes: number, rules: TextRules) {
    this.#maxBytes = maxBytes
    this.#rules = rules
  }

  /** The lines to write for an output event, each with its line feed. */
  add(event: EventOf<'output'>, prefix: string): string {
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
    return lines.map((line) => this.#line(prefix, line)).join('')
  }

  /** What is left when the attempt has ended: a last line without its end, and what was not shown. */
  end(prefix: string, whole: (stream: StreamName) => string): string {
    let text = ''
    for (const [name, { partial, hiddenBytes }] of this.#streams) {
      if (partial !== '') text += this.#line(prefix, partial)
      if (hiddenBytes > 0)
        text += `${prefix}... ${bytesText(hiddenBytes)} more on ${name}; the whole: ${whole(name)}\n`
    }
    return text
  }

  #line(prefix: string, line: string): string {
    return `${prefix}${terminalText(line.endsWith('\r') ? line.slice(0, -1) : line, this.#rules)}\n`
  }

  #stream(name: StreamName): Shown {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = { shownBytes: 0, hiddenBytes: 0, partial: '' }
      this.#streams.set(name, stream)
    }
    return stream
  }
}
