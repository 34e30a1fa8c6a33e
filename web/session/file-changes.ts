import type { FileDiff } from '../../src/contract/agent.ts'
import type { Row } from './conversation.ts'

export interface DiffLine {
  sign: '+' | '-' | ' ' | '@'
  text: string
  /** Number in the old text and in the new one, where it is known. */
  old?: number
  new?: number
}

const CONTEXT = 2

/** The lines of a change, with a little of what stands around them. */
export function diffLines(diff: FileDiff): DiffLine[] {
  return diff.unified === undefined ? changedLines(diff) : unifiedLines(diff.unified)
}

function unifiedLines(unified: string): DiffLine[] {
  const lines: DiffLine[] = []
  let [before, after] = [0, 0]
  // Names of files stand before the first hunk; in it, a line may begin with as many signs as one likes.
  for (const line of unified.slice(Math.max(0, unified.search(/^@@/m))).split('\n')) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)/.exec(line)
    const text = line.slice(1)
    if (hunk !== null) {
      ;[before, after] = [Number(hunk[1]), Number(hunk[2])]
      lines.push({ sign: '@', text: hunk[3]!.trim() })
    } else if (line.startsWith('+')) lines.push({ sign: '+', text, new: after++ })
    else if (line.startsWith('-')) lines.push({ sign: '-', text, old: before++ })
    else if (line.startsWith(' ')) lines.push({ sign: ' ', text, old: before++, new: after++ })
  }
  return lines
}

const linesOf = (text: string | undefined): string[] =>
  text === undefined || text === '' ? [] : (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')

/** The lines between those that both texts begin and end with. */
function changedLines({ old_text, new_text }: FileDiff): DiffLine[] {
  const [before, after] = [linesOf(old_text), linesOf(new_text)]
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const most = Math.min(before.length, after.length) - start
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++
  const shift = after.length - before.length
  const same = (from: number, to: number): DiffLine[] =>
    before.slice(from, to).map((text, at) => {
      const old = from + at + 1
      return { sign: ' ', text, old, new: from + at >= start ? old + shift : old }
    })
  return [
    ...same(Math.max(0, start - CONTEXT), start),
    ...before.slice(start, before.length - end).map<DiffLine>((text, at) => ({
      ...{ sign: '-', text, old: start + at + 1 },
    })),
    ...after.slice(start, after.length - end).map<DiffLine>((text, at) => ({
      ...{ sign: '+', text, new: start + at + 1 },
    })),
    ...same(before.length - end, Math.min(before.length, before.length - end + CONTEXT)),
  ]
}

export interface Count {
  added: number
  removed: number
}

const counts = new WeakMap<FileDiff, Count>()

/** How many lines a change adds and removes. */
export function countOf(diff: FileDiff): Count {
  const known = counts.get(diff)
  if (known !== undefined) return known
  const lines = diffLines(diff)
  const count = {
    added: lines.filter(({ sign }) => sign === '+').length,
    removed: lines.filter(({ sign }) => sign === '-').length,
  }
  counts.set(diff, count)
  return count
}

export const sumOf = (diffs: readonly FileDiff[]): Count =>
  diffs.reduce(
    (sum, diff) => {
      const { added, removed } = countOf(diff)
      return { added: sum.added + added, removed: sum.removed + removed }
    },
    { added: 0, removed: 0 },
  )

export interface ChangedFile extends Count {
  path: string
  diffs: readonly FileDiff[]
}

/** The files that finished calls of tools have changed, in the order of their first change. */
export function changedFiles(rows: readonly Row[]): ChangedFile[] {
  const files = new Map<string, FileDiff[]>()
  for (const row of rows)
    if (row.kind === 'tool' && row.status === 'completed')
      for (const diff of row.diffs) files.set(diff.path, [...(files.get(diff.path) ?? []), diff])
  return [...files].map(([path, diffs]) => ({ path, diffs, ...sumOf(diffs) }))
}
