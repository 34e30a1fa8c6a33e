import type { Row } from './run-rows.ts'
import { isFailure, MOST_NAMED, statusColor, stepName } from './summary.ts'
import { lineText, type Paint } from './terminal-text.ts'

/** Number of later lines after which a failure is repeated at the end, with its last lines. */
const FAR_LINES = 20
/** Most failures that are repeated, one per step. */
const MOST_AGAIN = 5

/** Describes a step, or one of its instances (`host`), that has ended. */
type Ended = Pick<Row, 'step' | 'phase' | 'status' | 'host'>

interface HowEnded {
  why: string
  /** True if this is not the end: the step is retried. */
  isTriedAgain?: boolean
  /** True for one of many instances. */
  isOneOfMany?: boolean
  /** Last lines of its output, safe for a terminal. */
  lastLines?: readonly string[]
}

/** Reports each failure once, in full, where it happens, and repeats at the end those that are far up by then. */
export class Failures {
  readonly #paint: Paint
  /** Number of tries and ends that were reported by step, and whether an end was, here or elsewhere. */
  readonly #reported = new Map<string, { tries: number; ends: number; isEnd: boolean }>()
  /** First failure of each step, with the number of lines that were written before it. */
  readonly #first: { text: string; line: number }[] = []
  #written = 0

  constructor(paint: Paint) {
    this.#paint = paint
  }

  /** Returns the line about a failure. Of many instances the first have a line each, and one says that more follow. */
  ended(what: Ended, { why, isTriedAgain = false, isOneOfMany = false, lastLines = [] }: HowEnded): string {
    const entry = this.#of(what)
    const isFirst = !isTriedAgain && !entry.isEnd
    const count = isTriedAgain ? ++entry.tries : ++entry.ends
    entry.isEnd ||= !isTriedAgain
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
    const more = isTriedAgain ? 'more are being retried' : 'more did not succeed'
    return this.#line('waiting', `${stepName(what)}: ${more}; use --verbose to show each`)
  }

  /** Records that the failure of a step was reported elsewhere. */
  markReported(step: Pick<Row, 'step' | 'phase'>): void {
    this.#of(step).isEnd = true
  }

  isReported(step: Pick<Row, 'step' | 'phase'>): boolean {
    return this.#of(step).isEnd
  }

  /** Counts the lines that were written. */
  wrote(text: string): void {
    if (this.#first.length > 0) this.#written += text.split('\n').length - 1
  }

  /** Returns the failures that are far up by now, each with its last lines and an empty line. */
  far(): string {
    const far = this.#first.filter(({ line }) => this.#written - line > FAR_LINES)
    return far.map(({ text }) => `${text}\n`).join('')
  }

  #of({ step, phase }: Pick<Row, 'step' | 'phase'>): { tries: number; ends: number; isEnd: boolean } {
    const key = `${phase} ${step}`
    const entry = this.#reported.get(key) ?? { tries: 0, ends: 0, isEnd: false }
    this.#reported.set(key, entry)
    return entry
  }

  #line(status: Row['status'], text: string): string {
    return `${this.#paint(statusColor[status], lineText(text))}\n`
  }
}
