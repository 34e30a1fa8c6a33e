import { styleText } from 'node:util'
import type { FileResult } from './test-files.ts'
import type { Work } from './test-schedule.ts'

/** Without a live line, the running files are printed when no file has ended for this long. */
const REPORT_INTERVAL_MS = 60_000

export interface Screen {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

/**
 * Shows each test file when it ends, with its failures and the number of files left. On a terminal, a live line below
 * shows the running files. Elsewhere they are printed now and then.
 */
export class TestProgress {
  readonly #screen: Screen
  readonly #files: number
  readonly #leftMs: (runningMs: ReadonlyMap<Work, number>) => number
  readonly #running = new Map<Work, number>()
  readonly #timer: NodeJS.Timeout
  #ended = 0
  #failed = 0

  /** `leftMs` returns how long the rest takes, given how long the running files have run. */
  constructor(screen: Screen, files: number, leftMs: (runningMs: ReadonlyMap<Work, number>) => number) {
    this.#screen = screen
    this.#files = files
    this.#leftMs = leftMs
    this.#timer = setInterval(() => this.#report(), screen.isTTY ? 1000 : REPORT_INTERVAL_MS)
  }

  began(work: Work): void {
    this.#running.set(work, performance.now())
    if (this.#screen.isTTY) this.#report()
  }

  ended(work: Work, result: FileResult): void {
    const { file } = work
    this.#running.delete(work)
    this.#ended++
    const { passed, failures, skips, printed, stopped } = result
    if (failures.length > 0) this.#failed++
    const counts = [
      `${passed} passed`,
      ...(failures.length > 0 ? [styleText('red', `${failures.length} failed`)] : []),
      ...(skips.length > 0 ? [`${skips.length} skipped`] : []),
      ...(stopped ? ['stopped'] : []),
    ]
    const lines = [`${this.#ended}/${this.#files} ${file}: ${counts.join(', ')} in ${seconds(result.ms)}`]
    for (const { title, text } of failures) lines.push('', styleText('red', `FAILED ${title}`), text)
    if (failures.length > 0) lines.push('', ...(printed === '' ? [] : [`--- printed by ${file}`, printed]))
    this.#clear()
    this.#screen.write(`${lines.join('\n')}\n`)
    if (this.#screen.isTTY) this.#report()
    else this.#timer.refresh()
  }

  /** Shows nothing more. May be called twice. */
  close(): void {
    clearInterval(this.#timer)
    this.#clear()
  }

  #report(): void {
    if (this.#running.size === 0) return
    const now = performance.now()
    const at = [...this.#running].map(([{ file }, sinceMs]) => `${file} (${seconds(now - sinceMs)})`)
    const runningMs = new Map([...this.#running].map(([work, sinceMs]) => [work, now - sinceMs]))
    const left = `${this.#files - this.#ended} of ${this.#files} files left, about ${timeText(this.#leftMs(runningMs))}`
    const failed = this.#failed === 0 ? '' : `, ${this.#failed} failed`
    const line = `${left}${failed}, running: ${at.join(', ')}`
    if (!this.#screen.isTTY) return void this.#screen.write(`${line}\n`)
    this.#clear()
    this.#screen.write(line.slice(0, (this.#screen.columns || 80) - 1))
  }

  #clear(): void {
    if (this.#screen.isTTY) this.#screen.write('\r\x1b[K')
  }
}

/** Returns one line for each reason, with the number of tests that were skipped for it. */
export function skipLines(results: Iterable<FileResult>): string[] {
  const counts = new Map<string, number>()
  for (const { skips } of results) for (const { text } of skips) counts.set(text, (counts.get(text) ?? 0) + 1)
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${String(count).padStart(5)}  ${reason}`)
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** Returns a duration as text: `40 seconds`, `9 minutes`. */
export function timeText(ms: number): string {
  const [count, unit] = ms < 90_000 ? [Math.ceil(ms / 1000), 'second'] : [Math.round(ms / 60_000), 'minute']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/** Wraps the text at blanks, to lines of at most `columns` columns. Lines after the first are indented. */
export function wrapped(text: string, columns = Number.POSITIVE_INFINITY): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined) lines.push(word)
    else if (last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(`  ${word}`)
  }
  return lines.join('\n')
}
