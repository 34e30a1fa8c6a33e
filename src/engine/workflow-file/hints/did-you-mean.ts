/** A longer list of candidates is not searched: a mistake must stay cheap to report. */
const maxCandidates = 500
const maxLength = 60

/** Returns the candidate that differs least from `word`, if it is near enough to be what was meant. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > maxLength) return undefined
  const allowed = word.length <= 3 ? 1 : word.length <= 6 ? 2 : 3
  let best: string | undefined
  let bestDistance = allowed + 1
  let seen = 0
  for (const candidate of candidates) {
    if (++seen > maxCandidates) break
    if (candidate === word || Math.abs(candidate.length - word.length) >= bestDistance) continue
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance && distance < Math.max(candidate.length, word.length)) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Returns `did you mean "x"?` when a candidate is near, else `otherwise`. */
export function didYouMean(
  word: string,
  candidates: Iterable<string>,
  otherwise?: string,
): string | undefined {
  const near = nearest(word, candidates)
  return near === undefined ? otherwise : `did you mean "${near}"?`
}

/** Counts insertions, deletions, changes and swaps of neighbors. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const now = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(last[column]! + 1, now[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, beforeLast[column - 2]! + 1)
      }
      now.push(cost)
    }
    beforeLast = last
    last = now
  }
  return last[b.length]!
}
