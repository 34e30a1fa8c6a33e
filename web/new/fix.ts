import type { Problem } from '../data/runs.ts'

/** A replacement for a part of the text. */
export interface Fix {
  from: number
  to: number
  word: string
}

/** Returns the offset of a line's first character; lines are counted from 1. */
export function startOfLine(text: string, line: number): number {
  let at = 0
  for (let left = line - 1; left > 0; left--) {
    const next = text.indexOf('\n', at)
    if (next < 0) return text.length
    at = next + 1
  }
  return at
}

/** Returns the fix for a problem whose hint suggests a word: that word replaces the one that the message quotes. */
export function fixOf(text: string, { line, column = 1, message, hint }: Problem): Fix | undefined {
  const word = /did you mean "([^"\n]+)"\?/.exec(hint ?? '')?.[1]
  if (word === undefined || line === undefined) return undefined
  const begin = startOfLine(text, line)
  const end = text.indexOf('\n', begin)
  const rest = text.slice(begin, end < 0 ? text.length : end)
  for (const [, quoted] of message.matchAll(/"([^"]+)"/g)) {
    // Look from the reported column first, then in the whole line; only whole words count.
    for (const from of [column - 1, 0]) {
      const at = rest.indexOf(quoted!, from)
      if (at < 0 || isWordSign(rest[at - 1]) || isWordSign(rest[at + quoted!.length])) continue
      return { from: begin + at, to: begin + at + quoted!.length, word }
    }
  }
  return undefined
}

const isWordSign = (sign: string | undefined) => sign !== undefined && /[\w.-]/.test(sign)

/**
 * Returns the fix that is meant at an offset: that of a problem on its line, else that of the next problem with a
 * fix.
 */
export function fixAt(text: string, offset: number, problems: readonly Problem[]): Fix | undefined {
  const line = text.slice(0, offset).split('\n').length
  const fixes = problems.flatMap((problem) => {
    const fix = fixOf(text, problem)
    return fix === undefined ? [] : [{ line: problem.line!, mend: fix }]
  })
  return (fixes.find((one) => one.line === line) ?? fixes.find((one) => one.line > line) ?? fixes[0])?.mend
}
