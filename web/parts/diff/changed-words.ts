import type { DiffLine, Hunk } from './parse-diff.ts'

/** A part of a line; `changed` if the other line of the pair does not have it. */
export interface Part {
  text: string
  changed: boolean
}

/** Maximum number of words in a line that is compared by words. */
const MOST_WORDS = 240
/** Least share that two lines must have in common to be compared by words. */
const LEAST_SAME = 0.3

const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{N}_$]+|\s+|[^\p{L}\p{N}_$\s]/gu) ?? []

/**
 * Returns the parts of two lines, with the words marked that the other line lacks. Returns undefined if the lines are
 * too long or have too little in common.
 */
export function changedWords(before: string, after: string): [Part[], Part[]] | undefined {
  const [one, other] = [wordsOf(before), wordsOf(after)]
  if (one.length > MOST_WORDS || other.length > MOST_WORDS) return undefined
  const parts: [Part[], Part[]] = [[], []]
  let same = 0
  let [row, column] = [0, 0]
  for (const step of stepsBetween(one, other)) {
    if (step === 'same' && one[row]!.trim() !== '') same += one[row]!.length
    if (step !== 'added') add(parts[0], one[row++]!, step !== 'same')
    if (step !== 'removed') add(parts[1], other[column++]!, step !== 'same')
  }
  const longest = Math.max(solid(before), solid(after))
  return longest === 0 || same / longest < LEAST_SAME ? undefined : parts
}

/**
 * Returns the fewest steps that turn one list of words or lines into another. It needs memory for the product of
 * their lengths.
 */
export function stepsBetween(
  one: readonly string[],
  other: readonly string[],
): ('same' | 'removed' | 'added')[] {
  // Length of the longest common subsequence from each pair of positions on.
  const width = other.length + 1
  const common = new Uint16Array((one.length + 1) * width)
  for (let row = one.length - 1; row >= 0; row--)
    for (let column = other.length - 1; column >= 0; column--)
      common[row * width + column] =
        one[row] === other[column]
          ? common[(row + 1) * width + column + 1]! + 1
          : Math.max(common[(row + 1) * width + column]!, common[row * width + column + 1]!)
  const steps: ('same' | 'removed' | 'added')[] = []
  let [row, column] = [0, 0]
  while (row < one.length || column < other.length) {
    if (row < one.length && column < other.length && one[row] === other[column]) {
      steps.push('same')
      row++
      column++
    } else if (
      column >= other.length ||
      (row < one.length && common[(row + 1) * width + column]! >= common[row * width + column + 1]!)
    ) {
      steps.push('removed')
      row++
    } else {
      steps.push('added')
      column++
    }
  }
  return steps
}

const solid = (text: string): number => text.replace(/\s/g, '').length

function add(parts: Part[], text: string, changed: boolean): void {
  const last = parts.at(-1)
  if (last?.changed === changed) last.text += text
  else parts.push({ text, changed })
}

/** Maps each changed line to its counterpart: removed lines and the added lines below them are paired in order. */
export function pairsOf({ lines }: Hunk): Map<DiffLine, DiffLine> {
  const pairs = new Map<DiffLine, DiffLine>()
  for (let at = 0; at < lines.length; ) {
    const removed = run(lines, at, 'removed')
    const added = run(lines, at + removed, 'added')
    for (let index = 0; index < Math.min(removed, added); index++) {
      const [one, other] = [lines[at + index]!, lines[at + removed + index]!]
      pairs.set(one, other)
      pairs.set(other, one)
    }
    at += Math.max(1, removed + added)
  }
  return pairs
}

function run(lines: readonly DiffLine[], from: number, kind: DiffLine['kind']): number {
  let at = from
  while (lines[at]?.kind === kind) at++
  return at - from
}
