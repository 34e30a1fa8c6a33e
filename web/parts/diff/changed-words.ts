import type { DiffLine, Hunk } from './parse-diff.ts'

/** A part of a line; `changed`: the other line of the pair has it not. */
export interface Part {
  text: string
  changed: boolean
}

/** Longer lines are not compared by words. */
const MOST_WORDS = 240
/** Of two lines of which less than this is the same, all is another. */
const LEAST_SAME = 0.3

const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{N}_$]+|\s+|[^\p{L}\p{N}_$\s]/gu) ?? []

/** The words of two lines that the other has not. Undefined: they have too little in common, or are too long. */
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

/** How one row of words or lines becomes another with the fewest steps; it takes the product of their lengths in room. */
export function stepsBetween(
  one: readonly string[],
  other: readonly string[],
): ('same' | 'removed' | 'added')[] {
  // Length of the longest common row from each pair of places on.
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

/** For each line that stands for another one: that other one. Removed lines and the added ones below them are pairs in their order. */
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
