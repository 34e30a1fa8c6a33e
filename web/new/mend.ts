import type { Problem } from '../data/runs.ts'

/** A part of the text to be put in place of another. */
export interface Mend {
  from: number
  to: number
  word: string
}

/** Offset of the line's first character; the line is counted from 1. */
export function startOfLine(text: string, line: number): number {
  let at = 0
  for (let left = line - 1; left > 0; left--) {
    const next = text.indexOf('\n', at)
    if (next < 0) return text.length
    at = next + 1
  }
  return at
}

/** How a problem is mended whose hint names what was meant: by the word in place of the one that the message quotes. */
export function mendOf(text: string, { line, column = 1, message, hint }: Problem): Mend | undefined {
  const word = /did you mean "([^"\n]+)"\?/.exec(hint ?? '')?.[1]
  if (word === undefined || line === undefined) return undefined
  const begin = startOfLine(text, line)
  const end = text.indexOf('\n', begin)
  const rest = text.slice(begin, end < 0 ? text.length : end)
  for (const [, quoted] of message.matchAll(/"([^"]+)"/g)) {
    // Where it is told first, and as a whole word.
    for (const from of [column - 1, 0]) {
      const at = rest.indexOf(quoted!, from)
      if (at < 0 || isWordSign(rest[at - 1]) || isWordSign(rest[at + quoted!.length])) continue
      return { from: begin + at, to: begin + at + quoted!.length, word }
    }
  }
  return undefined
}

const isWordSign = (sign: string | undefined) => sign !== undefined && /[\w.-]/.test(sign)

/** The problem that a mend asked for at this offset is of: that of its line, else the next that can be mended. */
export function mendAt(text: string, offset: number, problems: readonly Problem[]): Mend | undefined {
  const line = text.slice(0, offset).split('\n').length
  const mends = problems.flatMap((problem) => {
    const mend = mendOf(text, problem)
    return mend === undefined ? [] : [{ line: problem.line!, mend }]
  })
  return (mends.find((one) => one.line === line) ?? mends.find((one) => one.line > line) ?? mends[0])?.mend
}
