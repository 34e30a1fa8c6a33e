import { VAR_NAME_RULE, VarName } from '../../contract/names.ts'

const PREFIX = Buffer.from('BOPS_EXPORT:')
const NEWLINE = 10
/** Limit for a line in bytes; a longer line is dropped because its export is too large. */
const MAX_LINE_BYTES = 1024 * 1024

/** Limits for the warning about lines that only look like exports: how many it quotes, and how much of each. */
const MAX_REPORTED_LINES = 3
const MAX_REPORTED_CHARACTERS = 100

/** Finds the lines `BOPS_EXPORT:KEY=value` in a stream, however it is cut into chunks. */
export class ExportScanner {
  readonly found = new ExportedVars()
  /** Line begun in earlier chunks, while it may still be an export. */
  #begun: Buffer[] = []
  #begunBytes = 0
  /** Set within a line that is not an export. */
  #skipping = false
  readonly #malformed: string[] = []
  #malformedLines = 0

  /** Warning about lines that begin like an export but are not one; undefined if there are none. */
  get warning(): string | undefined {
    if (this.#malformedLines === 0) return undefined
    const lines =
      this.#malformedLines === 1
        ? 'A line is not a valid export'
        : `${this.#malformedLines} lines are not valid exports`
    const more = this.#malformedLines - this.#malformed.length
    return `${lines}: ${this.#malformed.join('; ')}${more > 0 ? `; and ${more} more` : ''}.`
  }

  push(chunk: Buffer): void {
    const rest = this.#skipping || this.#begunBytes > 0 ? this.#endBegunLine(chunk) : chunk
    if (rest !== undefined) this.#wholeLines(rest)
  }

  /** Ends the stream; a last line without its newline counts. */
  end(): void {
    if (this.#begunBytes > 0) this.#take(Buffer.concat(this.#begun))
    this.#drop(false)
  }

  /** Returns the bytes after the newline of the line begun before, or undefined if the chunk holds no newline. */
  #endBegunLine(chunk: Buffer): Buffer | undefined {
    const end = chunk.indexOf(NEWLINE)
    if (!this.#skipping) this.#begin(end < 0 ? chunk : chunk.subarray(0, end))
    if (end < 0) return undefined
    if (!this.#skipping) this.#take(Buffer.concat(this.#begun))
    this.#drop(false)
    return chunk.subarray(end + 1)
  }

  /**
   * Reads `text`, which starts at the start of a line. It searches for the prefix, not for lines: most output is not an
   * export.
   */
  #wholeLines(text: Buffer): void {
    for (let at = text.indexOf(PREFIX); at >= 0; ) {
      if (at > 0 && text[at - 1] !== NEWLINE) {
        at = text.indexOf(PREFIX, at + PREFIX.length)
        continue
      }
      const end = text.indexOf(NEWLINE, at)
      if (end < 0) break
      this.#take(text.subarray(at, end))
      at = text.indexOf(PREFIX, end)
    }
    const last = text.subarray(text.lastIndexOf(NEWLINE) + 1)
    if (last.length > 0) this.#begin(last)
  }

  #begin(part: Buffer): void {
    // A copy: the caller may use its buffer again.
    this.#begun.push(Buffer.from(part))
    this.#begunBytes += part.length
    const known = this.#begunBytes - part.length >= PREFIX.length
    if (!known && !this.#mayBeExport()) this.#drop(true)
    else if (this.#begunBytes > MAX_LINE_BYTES) {
      this.#take(Buffer.concat(this.#begun))
      this.#drop(true)
    }
  }

  #mayBeExport(): boolean {
    const head = Buffer.concat(this.#begun).subarray(0, PREFIX.length)
    return head.equals(PREFIX.subarray(0, head.length))
  }

  #drop(skipping: boolean): void {
    this.#begun = []
    this.#begunBytes = 0
    this.#skipping = skipping
  }

  #take(line: Buffer): void {
    if (line.length < PREFIX.length) return
    const text = line.toString('utf8', PREFIX.length).replace(/\r$/, '')
    const equals = text.indexOf('=')
    const name = text.slice(0, equals)
    if (equals < 0) this.#leaveOut(text, 'it has no "="')
    else if (!VarName.safeParse(name).success) this.#leaveOut(text, VAR_NAME_RULE)
    else if (line.length > MAX_LINE_BYTES) this.found.tooLarge = true
    else this.found.set(name, text.slice(equals + 1))
  }

  #leaveOut(text: string, why: string): void {
    this.#malformedLines++
    if (this.#malformed.length === MAX_REPORTED_LINES) return
    const line = `${PREFIX}${text.length > MAX_REPORTED_CHARACTERS ? `${text.slice(0, MAX_REPORTED_CHARACTERS)}…` : text}`
    this.#malformed.push(`${JSON.stringify(line)} (${why})`)
  }
}

/** Limit in bytes for all that one attempt may export, names and values. */
export const MAX_EXPORT_BYTES = 1024 * 1024

/** Collects the variables that an attempt exports; stops at the limit, and remembers if there was more. */
export class ExportedVars {
  readonly #values = new Map<string, string>()
  #bytes = 0
  tooLarge = false

  set(name: string, value: string): void {
    // An environment cannot hold NUL, and a later step gets this in its own.
    const clean = value.replaceAll('\0', '')
    const before = this.#values.get(name)
    const bytes = this.#bytes + sizeOf(name, clean) - (before === undefined ? 0 : sizeOf(name, before))
    if (bytes > MAX_EXPORT_BYTES) {
      this.tooLarge = true
      return
    }
    this.#bytes = bytes
    this.#values.set(name, clean)
  }

  setAll(values: Iterable<readonly [string, string]>): void {
    for (const [name, value] of values) this.set(name, value)
  }

  entries(): Iterable<[string, string]> {
    return this.#values.entries()
  }

  /** Returns the variables, or undefined if there are none. */
  toRecord(): Record<string, string> | undefined {
    return this.#values.size === 0 ? undefined : Object.fromEntries(this.#values)
  }
}

const sizeOf = (name: string, value: string) => Buffer.byteLength(name) + Buffer.byteLength(value)
