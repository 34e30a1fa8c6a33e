import { withoutEscapes } from '../../platform/text.ts'

const MAX_ERROR_LINE = 200
/** Bytes stored; a longer last line is seen without its beginning. */
const MAX_BYTES = 4096

/** Tracks the last line that an attempt has written to standard error, as people read it: usually the error message. */
export class LastErrorLine {
  #end: Buffer = Buffer.alloc(0)
  #isCut = false

  push(bytes: Buffer): void {
    const isWhole = this.#end.length + bytes.length <= MAX_BYTES
    const all = bytes.length >= MAX_BYTES ? bytes : Buffer.concat([this.#end, bytes])
    // A copy: the caller may use its buffer again.
    this.#end = Buffer.from(all.subarray(-MAX_BYTES))
    this.#isCut ||= !isWhole
  }

  /**
   * Last line that is not blank, without colors and as the last carriage return left it; undefined if there is none.
   */
  get text(): string | undefined {
    const states = this.#end.toString('utf8').split(/[\r\n]/)
    for (let at = states.length - 1; at >= 0; at--) {
      const line = withoutEscapes(states[at]!)
        .replace(/\p{Cc}|\p{Bidi_Control}/gu, ' ')
        .trim()
      if (line === '') continue
      // The first line may begin in the middle of a line, and of a character.
      return at === 0 && this.#isCut ? short(`…${line.replace(/^\ufffd+/, '')}`) : short(line)
    }
    return undefined
  }
}

/** Shortens a line without cutting a character in half. */
const short = (line: string): string =>
  line.length <= MAX_ERROR_LINE
    ? line
    : `${line.slice(0, MAX_ERROR_LINE - 1).replace(/[\ud800-\udbff]$/, '')}…`
