import type { FileDiff } from '../../src/contract/agent.ts'
import { stepsBetween } from '../parts/diff/changed-words.ts'
import type { Row } from './conversation.ts'

export interface DiffLine {
  sign: '+' | '-' | ' ' | '@'
  text: string
  /** Number in the old text and in the new one, if known. */
  old?: number
  new?: number
}

const CONTEXT = 2
/**
 * Maximum number of pairs of lines to compare; beyond it, all lines from the first to the last difference count as
 * changed.
 */
const MOST_PAIRS = 4e6

/** Returns the lines of a change with a few lines around them. */
export function diffLines(diff: FileDiff): DiffLine[] {
  return diff.unified === undefined ? changedLines(diff) : unifiedLines(diff.unified)
}

function unifiedLines(unified: string): DiffLine[] {
  const lines: DiffLine[] = []
  let [before, after] = [0, 0]
  // File names precede the first hunk; within a hunk, a line may begin with any number of signs.
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

/** Returns the lines in which two texts differ, each with the lines around it. */
function changedLines({ old_text, new_text }: FileDiff): DiffLine[] {
  const [before, after] = [linesOf(old_text), linesOf(new_text)]
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const most = Math.min(before.length, after.length) - start
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++
  const [removed, added] = [before.slice(start, before.length - end), after.slice(start, after.length - end)]
  const steps =
    removed.length * added.length > MOST_PAIRS
      ? [...removed.map(() => 'removed' as const), ...added.map(() => 'added' as const)]
      : stepsBetween(removed, added)
  let [old, now] = [Math.max(0, start - CONTEXT), Math.max(0, start - CONTEXT)]
  const lines: DiffLine[] = []
  const same = (count: number) => {
    for (let left = count; left > 0; left--)
      lines.push({ sign: ' ', text: before[old]!, old: ++old, new: ++now })
  }
  same(start - old)
  for (let at = 0; at < steps.length; ) {
    // A run of equal lines: leave out its middle. A change follows, since common lines at the end were cut off.
    let next = at
    while (steps[next] === 'same') next++
    if (next - at > 2 * CONTEXT) {
      same(CONTEXT)
      const left = next - at - 2 * CONTEXT
      ;[old, now] = [old + left, now + left]
      lines.push({ sign: '@', text: '' })
      same(CONTEXT)
    } else same(next - at)
    if (steps[next] === 'removed') lines.push({ sign: '-', text: before[old]!, old: ++old })
    else lines.push({ sign: '+', text: after[now]!, new: ++now })
    at = next + 1
  }
  same(Math.min(end, CONTEXT))
  return lines
}

export interface Count {
  added: number
  removed: number
}

const counts = new WeakMap<FileDiff, Count>()

/** Counts the lines that a change adds and removes. */
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
  /** The file's edits, as the agent reported them. */
  edits: readonly FileDiff[]
  /**
   * The edits joined into one. Undefined if they do not follow on from each other; then the count is the sum over the
   * edits.
   */
  whole: FileDiff | undefined
}

/** Lists the files that successful tool calls have changed, in the order of their first change. */
export function changedFiles(rows: readonly Row[]): ChangedFile[] {
  const files = new Map<string, FileDiff[]>()
  for (const row of rows)
    if (row.kind === 'tool' && row.status === 'completed')
      for (const diff of row.diffs) files.set(diff.path, [...(files.get(diff.path) ?? []), diff])
  return [...files].map(([path, edits]) => {
    const whole = joined(edits)
    return { path, edits, whole, ...(whole === undefined ? sumOf(edits) : countOf(whole)) }
  })
}

const joins = new WeakMap<FileDiff, { edits: readonly FileDiff[]; whole: FileDiff | undefined }>()

/**
 * Joins the edits of one file into one, from the first text to the last. Returns undefined unless each edit begins
 * with the text that the one before it left.
 */
function joined(edits: readonly FileDiff[]): FileDiff | undefined {
  const [first, last] = [edits[0]!, edits.at(-1)!]
  if (edits.length === 1) return first
  const known = joins.get(last)
  if (known?.edits.length === edits.length && known.edits.every((edit, at) => edit === edits[at]))
    return known.whole
  const goesOn = (edit: FileDiff, at: number) =>
    edit.unified === undefined && (at === 0 || edit.old_text === edits[at - 1]!.new_text)
  const whole = edits.every(goesOn)
    ? { path: first.path, old_text: first.old_text, new_text: last.new_text }
    : undefined
  joins.set(last, { edits, whole })
  return whole
}
