import type * as z from 'zod'
import type { FileDiff } from '../../contract/agent.ts'

export interface DiffLine {
  sign: '+' | '-'
  text: string
}

/** The lines that a change takes away and adds, the first `most`; and how many there are beyond. */
export function shortDiff(diff: z.infer<typeof FileDiff>, most: number): { lines: DiffLine[]; more: number } {
  const lines = diff.unified === undefined ? changedLines(diff) : unifiedLines(diff.unified)
  return { lines: lines.slice(0, most), more: Math.max(0, lines.length - most) }
}

/** Names of files stand before the first hunk; in it, a line may begin with as many signs as one likes. */
const unifiedLines = (unified: string): DiffLine[] =>
  unified
    .slice(Math.max(0, unified.search(/^@@/m)))
    .split('\n')
    .filter((line) => /^[+-]/.test(line))
    .map((line) => ({ sign: line[0] as DiffLine['sign'], text: line.slice(1) }))

/** What stands between the lines that both texts begin and end with. */
function changedLines({ old_text, new_text }: z.infer<typeof FileDiff>): DiffLine[] {
  const before = linesOf(old_text)
  const after = linesOf(new_text)
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const most = Math.min(before.length, after.length) - start
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++
  const between = (lines: string[], sign: DiffLine['sign']): DiffLine[] =>
    lines.slice(start, lines.length - end).map((text) => ({ sign, text }))
  return [...between(before, '-'), ...between(after, '+')]
}

function linesOf(text: string | undefined): string[] {
  if (text === undefined || text === '') return []
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')
}
