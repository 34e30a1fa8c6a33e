import { asText, own, valueAt } from './loose.ts'
import type { Locate, ValuePath } from './positions.ts'
import { formatPath, type Problem } from './problem.ts'
import { type Finding, unknownKey } from './sentences.ts'

const most = { error: 1000, warning: 100 }

export interface Complaint {
  /** `value` by default; a number is a character of the text at the path. */
  at?: 'key' | 'value' | number
  /** A function where finding it takes a while: it is called only for a problem that is kept. */
  hint?: string | (() => string | undefined)
  severity?: Problem['severity']
  /** Its line in the file is not to be shown. */
  confidential?: true
}

/** Collects the problems of one file, with their places. */
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

  /** For a workflow inside this one. */
  within(path: ValuePath): Report {
    return new Report(valueAt(this.#root, path), {
      file: this.#file,
      locate: this.#locate,
      problems: this.problems,
      prefix: [...this.#prefix, ...path],
    })
  }

  /** For another file. */
  of(root: unknown, file: string, locate: Locate): Report {
    return new Report(root, { file, locate, problems: this.problems })
  }

  get failed(): boolean {
    return this.problems.some((problem) => problem.severity === 'error')
  }

  /** `message` is the whole sentence. */
  add(
    path: ValuePath,
    message: string,
    { at = 'value', hint, severity = 'error', confidential }: Complaint = {},
  ): void {
    // Counted by themselves: no number of warnings is a mistake, or hides one.
    const { length } = this.problems.filter((problem) => problem.severity === severity)
    if (length > most[severity]) return
    if (length === most[severity]) {
      this.problems.push({
        severity,
        message: `more than ${length} ${severity === 'error' ? 'problems' : 'warnings'}; the rest is left out`,
        ...(this.#file === undefined ? {} : { file: this.#file }),
        path: '',
      })
      return
    }
    const full = [...this.#prefix, ...path]
    const advice = typeof hint === 'function' ? hint() : hint
    this.problems.push({
      severity,
      message,
      ...(advice === undefined ? {} : { hint: advice }),
      ...(this.#file === undefined ? {} : { file: this.#file }),
      ...this.#locate?.(full, at),
      path: formatPath(full),
      ...(confidential && { confidential }),
    })
  }

  /** `says` follows the name of what stands at the path. */
  say(path: ValuePath, says: string, complaint?: Complaint): void {
    const { subject, place } = this.#nameOf(path)
    this.add(path, `${subject}${place} ${says}`, complaint)
  }

  found(finding: Finding, base: ValuePath = []): void {
    const path = [...base, ...finding.path]
    const complaint = { at: finding.at, hint: finding.hint }
    if (finding.says === unknownKey) {
      const { place } = this.#nameOf(path)
      this.add(path, `unknown key "${path.at(-1)}"${place || ' at the top level'}`, complaint)
    } else this.say(path, finding.says, complaint)
  }

  /** `timeout_seconds` and ` in step "x"` */
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

  /** `step "x"`, or its number where it has no name. */
  #step(list: 'steps' | 'finally', index: number): string {
    const name = asText(own(valueAt(this.#root, [list, index]), 'name'))
    if (name) return `step ${JSON.stringify(name.slice(0, 80))}`
    return list === 'steps' ? `step ${index + 1}` : `finally step ${index + 1}`
  }
}
