import type { Row } from './run-rows.ts'
import { isFailure, MOST_NAMED, statusColor, stepName } from './summary.ts'
import { lineText, type Paint } from './terminal-text.ts'

/** A failure is told again at the end, with its last lines, when so many lines have come since. */
const FAR_LINES = 20
/** Failures that are told again: one of a step. */
const MOST_AGAIN = 5

/** A step, or one of its instances (`host`), as it has ended. */
type Ended = Pick<Row, 'step' | 'phase' | 'status' | 'host'>

interface HowEnded {
  why: string
  /** This is no end yet: the step is tried again. */
  isTriedAgain?: boolean
  /** One of many instances has ended so. */
  isOneOfMany?: boolean
  /** The last lines of its output, safe for a terminal. */
  lastLines?: readonly string[]
}

/** Tells what has not succeeded: each once, in full, where it happens; and at the end what is far up by then. */
export class Failures {
  readonly #paint: Paint
  /** By step: how many tries and ends were told, and whether an end was, by this or other means. */
  readonly #told = new Map<string, { tries: number; ends: number; isEnd: boolean }>()
  /** The first of each step, and how many lines were written before it. */
  readonly #first: { text: string; line: number }[] = []
  #written = 0

  constructor(paint: Paint) {
    this.#paint = paint
  }

  /** The line on it. Of many instances of a step the first have one, then one says that there are more. */
  ended(what: Ended, { why, isTriedAgain = false, isOneOfMany = false, lastLines = [] }: HowEnded): string {
    const told = this.#of(what)
    const isFirst = !isTriedAgain && !told.isEnd
    const count = isTriedAgain ? ++told.tries : ++told.ends
    told.isEnd ||= !isTriedAgain
    const { status, host } = what
    const where = host === '' ? '' : ` on ${host}`
    const because = why === '' || why === status ? '' : `: ${why}`
    const text = this.#line(status, `${stepName(what)} ${status}${where}${because}`)
    if (isFirst && isFailure(status) && this.#first.length < MOST_AGAIN) {
      const last = lastLines.map((line) => `  ${line}\n`).join('')
      this.#first.push({ text: `${text}${last}`, line: this.#written })
    }
    if (!isOneOfMany || count <= MOST_NAMED) return text
    if (count > MOST_NAMED + 1) return ''
    const more = isTriedAgain ? 'more are tried again' : 'more have not succeeded'
    return this.#line('waiting', `${stepName(what)}: ${more}; each is told with --verbose`)
  }

  /** Why a step has not succeeded was told by other means. */
  toldOf(step: Pick<Row, 'step' | 'phase'>): void {
    this.#of(step).isEnd = true
  }

  isTold(step: Pick<Row, 'step' | 'phase'>): boolean {
    return this.#of(step).isEnd
  }

  /** This was written. */
  wrote(text: string): void {
    if (this.#first.length > 0) this.#written += text.split('\n').length - 1
  }

  /** The failures that are far up by now, each with its last lines and an empty one. */
  far(): string {
    const far = this.#first.filter(({ line }) => this.#written - line > FAR_LINES)
    return far.map(({ text }) => `${text}\n`).join('')
  }

  #of({ step, phase }: Pick<Row, 'step' | 'phase'>): { tries: number; ends: number; isEnd: boolean } {
    const key = `${phase} ${step}`
    const told = this.#told.get(key) ?? { tries: 0, ends: 0, isEnd: false }
    this.#told.set(key, told)
    return told
  }

  #line(status: Row['status'], text: string): string {
    return `${this.#paint(statusColor[status], lineText(text))}\n`
  }
}
