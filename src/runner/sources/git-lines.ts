const MAX_LINE_LENGTH = 300

/** The lines of git's standard error, safe to show: a server writes some of them. */
export class GitLines {
  readonly #progress?: (line: string) => void
  readonly #decoder = new TextDecoder()
  #rest = ''
  #last = ''

  constructor(progress?: (line: string) => void) {
    this.#progress = progress
  }

  push(chunk: Buffer): void {
    // It rewrites its line of progress after a carriage return.
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split(/[\r\n]/)
    this.#rest = parts.pop()!.slice(0, MAX_LINE_LENGTH)
    for (const part of parts) this.#take(part)
  }

  /** The last that it says, preferring its own errors. */
  last(): string {
    this.#take(this.#rest)
    this.#rest = ''
    return this.#last
  }

  #take(part: string): void {
    const line = part
      .slice(0, MAX_LINE_LENGTH)
      .replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
      .replace(/\p{Cc}/gu, ' ')
      .trim()
    if (line === '') return
    if (/^(?:fatal|error): /.test(line) || !/^(?:fatal|error): /.test(this.#last)) this.#last = line
    this.#progress?.(line)
  }
}
