import type { Problem } from '../../contract/run-api.ts'
import { type Finding, MOST_FAULTS, unknownKey } from './issue-messages.ts'
import { asText, own, valueAt } from './loose-values.ts'
import type { Locate, ValuePath } from './positions.ts'

export type { Problem }

/** Formats a problem as `flow.yaml:12:5: error: unknown key "target" in step "x"`, with the hint on its own line. */
export function formatProblem(problem: Problem): string {
  return [headline(problem), ...hintLine(problem)].join('\n')
}

const maxShown = 100
const before = 60

/** Formats a problem with the line of the source and a caret. `source` is the text of the problem's file. */
export function formatProblemWithSource(problem: Problem, source: string | undefined): string {
  const line =
    problem.line === undefined ? undefined : source?.split('\n')[problem.line - 1]?.replace(/\r$/, '')
  if (line === undefined || problem.confidential) return formatProblem(problem)
  const column = Math.min(problem.column ?? 1, line.length + 1)
  const from = line.length > maxShown ? Math.max(0, column - before) : 0
  const shown = visible(line.slice(from, from + maxShown))
  const number = String(problem.line)
  return [
    headline(problem),
    `  ${number} | ${shown}`,
    `  ${' '.repeat(number.length)} | ${' '.repeat(column - 1 - from)}^`,
    ...hintLine(problem),
  ].join('\n')
}

const last = Number.MAX_SAFE_INTEGER

/** Sorts by file, then by position, and removes the duplicates of a file that is used twice. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const files = [...new Set(problems.map((problem) => problem.file))]
  const once = new Map(problems.map((problem) => [JSON.stringify(problem), problem]))
  return [...once.values()].sort(
    (a, b) =>
      files.indexOf(a.file) - files.indexOf(b.file) ||
      (a.line ?? last) - (b.line ?? last) ||
      (a.column ?? 0) - (b.column ?? 0),
  )
}

/** Formats a path like `steps[0].args.cmd`. */
export function formatPath(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

function headline({ file, line, column, severity, message }: Problem): string {
  const place = [
    file ?? (line === undefined ? undefined : 'workflow'),
    line,
    line === undefined ? undefined : column,
  ]
  const parts = place.filter((part) => part !== undefined)
  return `${parts.length === 0 ? '' : `${parts.join(':')}: `}${severity}: ${visible(message)}`
}

function hintLine({ hint }: Problem): string[] {
  return hint === undefined ? [] : [`  hint: ${visible(hint)}`]
}

/** Escapes a file's text so that it cannot control the terminal that shows it. One column stays one column. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, (character) =>
    character === '\t' ? ' ' : '\uFFFD',
  )
}

/** Longest text of a problem: names in it may come from strangers. */
const MAX_REPORTED = 1_000

/** Returns the text, or its beginning when it is too long. */
export const cutShort = (text: string, most = MAX_REPORTED): string =>
  text.length <= most ? text : `${text.slice(0, most - 3)}...`

interface Complaint {
  /** Default `value`; a number is a character of the text at the path. */
  at?: 'key' | 'value' | number
  /** A function when finding the hint is slow: it is called only for a problem that is reported. */
  hint?: string | (() => string | undefined)
  severity?: Problem['severity']
  /** Hides its line in the file. */
  confidential?: true
}

/** Collects the problems of one file, with their positions. */
export class Report {
  readonly problems: Problem[]
  readonly #root: unknown
  readonly #file: string | undefined
  readonly #locate: Locate | undefined
  readonly #prefix: ValuePath

  constructor(
    root: unknown,
    options: { file?: string; locate?: Locate; problems?: Problem[]; prefix?: ValuePath } = {},
  ) {
    this.#root = root
    this.#file = options.file
    this.#locate = options.locate
    this.problems = options.problems ?? []
    this.#prefix = options.prefix ?? []
  }

  /** Makes a report for a workflow inside this one. */
  within(path: ValuePath): Report {
    return new Report(valueAt(this.#root, path), {
      file: this.#file,
      locate: this.#locate,
      problems: this.problems,
      prefix: [...this.#prefix, ...path],
    })
  }

  /** Makes a report for another file. */
  of(root: unknown, file: string, locate: Locate): Report {
    return new Report(root, { file, locate, problems: this.problems })
  }

  get failed(): boolean {
    return this.problems.some((problem) => problem.severity === 'error')
  }

  /** Adds a problem; `message` is the whole sentence. */
  add(
    path: ValuePath,
    message: string,
    { at = 'value', hint, severity = 'error', confidential }: Complaint = {},
  ): void {
    // Warnings and errors are counted apart: no number of warnings is a mistake, or hides one.
    const { length } = this.problems.filter((problem) => problem.severity === severity)
    if (length > MOST_FAULTS) return
    if (length === MOST_FAULTS) {
      this.problems.push({
        severity,
        message: `more than ${length} ${severity === 'error' ? 'problems' : 'warnings'}; the rest is not shown`,
        ...(this.#file === undefined ? {} : { file: this.#file }),
        path: '',
      })
      return
    }
    const full = [...this.#prefix, ...path]
    const advice = typeof hint === 'function' ? hint() : hint
    this.problems.push({
      severity,
      message: cutShort(message),
      ...(advice === undefined ? {} : { hint: cutShort(advice) }),
      ...(this.#file === undefined ? {} : { file: this.#file }),
      ...this.#locate?.(full, at),
      path: cutShort(formatPath(full)),
      ...(confidential && { confidential }),
    })
  }

  /** Adds a problem; `says` follows the name of what is at the path. */
  say(path: ValuePath, message: string, complaint?: Complaint): void {
    const { subject, place } = this.#nameOf(path)
    this.add(path, `${subject}${place} ${message}`, complaint)
  }

  found(finding: Finding, base: ValuePath = []): void {
    const path = [...base, ...finding.path]
    const complaint = { at: finding.at, hint: finding.hint }
    if (finding.says === unknownKey) {
      const { place } = this.#nameOf(path)
      this.add(path, `unknown key "${path.at(-1)}"${place || ' at the top level'}`, complaint)
    } else this.say(path, finding.says, complaint)
  }

  /** Returns the subject and place of a path, such as `timeout_seconds` and ` in step "x"`. */
  #nameOf(path: ValuePath): { subject: string; place: string } {
    const [list, index, ...rest] = path
    if (path.length === 0) return { subject: 'the workflow', place: '' }
    if ((list !== 'steps' && list !== 'finally') || typeof index !== 'number') {
      const inner = path.length > 1 ? ` in ${formatPath(path.slice(0, -1))}` : ''
      return typeof path.at(-1) === 'number' || inner === ''
        ? { subject: formatPath(path), place: '' }
        : { subject: String(path.at(-1)), place: inner }
    }
    const step = this.#step(list, index)
    if (rest.length === 0) return { subject: step, place: '' }
    const last = rest.at(-1)
    if (rest.length > 1 && typeof last === 'string') {
      return { subject: last, place: ` in ${formatPath(rest.slice(0, -1))} of ${step}` }
    }
    return { subject: formatPath(rest), place: ` in ${step}` }
  }

  /** Returns `step "x"`, or the step's number if it has no name. */
  #step(list: 'steps' | 'finally', index: number): string {
    const name = asText(own(valueAt(this.#root, [list, index]), 'name'))
    if (name) return `step ${JSON.stringify(name.slice(0, 80))}`
    return list === 'steps' ? `step ${index + 1}` : `finally step ${index + 1}`
  }
}
