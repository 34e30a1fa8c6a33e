import type { TestFigures } from '../../contract/tasks/task-facts.ts'

/** Most bytes of a file of results. The file is read in chunks, so its size must be limited. */
export const MAX_RESULT_BYTES = 20 * 1024 * 1024
export const MAX_CASES = 100_000
const MAX_NAMES = 50
const MAX_NAME = 200

/** Figures, or a sentence that says why there are none. */
export type ReadResults = { figures: TestFigures; notes: string[] } | { fault: string }

/** Thrown within a reader; the message is the sentence. */
export class ResultFault extends Error {}

/** Counts tests. Throws `ResultFault` when there are too many. */
export class Tally {
  suite: string
  durationMs: number | undefined
  readonly #counts = { passed: 0, failed: 0, skipped: 0, flaky: 0 }
  readonly #names: string[] = []

  constructor(suite: string) {
    this.suite = suite
  }

  get count(): number {
    const { passed, failed, skipped } = this.#counts
    return passed + failed + skipped
  }

  add(outcome: 'passed' | 'failed' | 'skipped' | 'flaky', name: string): void {
    if (this.count >= MAX_CASES) throw new ResultFault(`It contains more than ${MAX_CASES} tests.`)
    this.#counts[outcome]++
    if (outcome === 'flaky') this.#counts.passed++
    if (outcome === 'failed' && this.#names.length < MAX_NAMES) this.#names.push(shownName(name, 'unnamed'))
  }

  /** Adds the milliseconds of one test; ignores an invalid time. */
  took(ms: number): void {
    if (ms >= 0 && ms < 1e12) this.durationMs = (this.durationMs ?? 0) + ms
  }

  figures(): TestFigures {
    const { durationMs } = this
    return {
      suite: shownName(this.suite, 'tests'),
      ...this.#counts,
      failed_names: [...this.#names],
      ...(durationMs === undefined ? {} : { duration_ms: Math.round(durationMs) }),
    }
  }
}

/** Shortens a name to one line without control or invisible characters. */
function shownName(name: string, otherwise: string): string {
  const line = name
    .slice(0, 4 * MAX_NAME)
    .replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/gu, ' ')
    .trim()
  if (line === '') return otherwise
  const characters = [...line]
  return characters.length > MAX_NAME ? `${characters.slice(0, MAX_NAME - 1).join('')}…` : line
}

/** Sums the figures of several files as one suite. */
export function joinFigures(suite: string, all: readonly TestFigures[]): TestFigures {
  const sum = (of: (one: TestFigures) => number | undefined) =>
    all.reduce((total, one) => total + (of(one) ?? 0), 0)
  const timed = all.some(({ duration_ms }) => duration_ms !== undefined)
  return {
    suite: shownName(suite, 'tests'),
    passed: sum((one) => one.passed),
    failed: sum((one) => one.failed),
    skipped: sum((one) => one.skipped),
    flaky: sum((one) => one.flaky),
    failed_names: all.flatMap(({ failed_names }) => failed_names).slice(0, MAX_NAMES),
    ...(timed ? { duration_ms: sum((one) => one.duration_ms) } : {}),
  }
}

/** Describes how an exit code and figures contradict each other; the exit code counts. Undefined when they agree. */
export function contradiction(
  exitCode: number,
  { passed, failed, skipped }: TestFigures,
): string | undefined {
  if (exitCode === 0 && failed > 0)
    return `The results report ${failed} failed ${failed === 1 ? 'test' : 'tests'}, but the command exited with 0: it counts as passed.`
  if (exitCode === 0 && passed + skipped === 0)
    return 'The results report no tests at all, although the command exited with 0.'
  if (exitCode !== 0 && failed === 0)
    return `The results report no failed test, but the command exited with ${exitCode}: it counts as failed.`
  return undefined
}
