import type { Problem } from '../../contract/validate-api.ts'

export type { Problem }

/** `flow.yaml:12:5: error: unknown key "target" in step "x"`, and the hint on a line of its own. */
export function formatProblem(problem: Problem): string {
  return [headline(problem), ...hintLine(problem)].join('\n')
}

const maxShown = 100
const before = 60

/** The same, with the line of the source and a caret. `source` is the text of the problem's file. */
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

/** By file, then by place; what a file used twice says twice is said once. */
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

/** `steps[0].args.cmd` */
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
  const given = place.filter((part) => part !== undefined)
  return `${given.length === 0 ? '' : `${given.join(':')}: `}${severity}: ${visible(message)}`
}

function hintLine({ hint }: Problem): string[] {
  return hint === undefined ? [] : [`  hint: ${visible(hint)}`]
}

/** Returns a file's text so that it does not steer the terminal that shows it. One column stays one column. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, (character) =>
    character === '\t' ? ' ' : '\uFFFD',
  )
}
