import { stripVTControlCharacters } from 'node:util'

const BETWEEN_MS = 500
const MAX_CHARACTERS = 300

/** Tells of a build or pull: each phase at once, and its last line now and then. */
export class BuildProgress {
  readonly #tell: (phase: string, line?: string) => void
  readonly #mask: (text: string) => string
  #phase = ''
  #line: string | undefined
  #toldAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(tell: (phase: string, line?: string) => void, mask: (text: string) => string) {
    this.#tell = tell
    this.#mask = mask
  }

  get current(): string {
    return this.#phase
  }

  phase(phase: string): void {
    if (phase === this.#phase) return
    this.#phase = phase
    this.#line = undefined
    this.#now()
  }

  line(text: string): void {
    // Bars are drawn over and over in one line.
    const shown = stripVTControlCharacters(text)
      .split(/[\r\n]/)
      .findLast((part) => part.trim() !== '')
    if (shown === undefined) return
    this.#line = this.#mask(shown)
      .replace(/\p{Cc}/gu, ' ')
      .trim()
      .slice(0, MAX_CHARACTERS)
    this.#timer ??= setTimeout(() => this.#now(), Math.max(0, this.#toldAtMs + BETWEEN_MS - Date.now()))
  }

  /** Nothing follows. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#toldAtMs = Date.now()
    this.#tell(this.#phase, this.#line)
  }
}
