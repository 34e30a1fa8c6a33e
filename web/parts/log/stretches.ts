/** The first and the last of consecutive lines. */
export type Stretch = [from: number, to: number]

/** Returns the lines from 1 to `total` outside these stretches, which are in order and do not touch. */
export function restOf(stretches: readonly Readonly<Stretch>[], total: number): Stretch[] {
  const rest: Stretch[] = []
  let next = 1
  for (const [from, to] of stretches) {
    if (from > next) rest.push([next, from - 1])
    next = to + 1
  }
  if (next <= total) rest.push([next, total])
  return rest
}

/**
 * Returns the lines in either list of stretches. Both lists are in order, and so is the result, whose stretches do
 * not touch.
 */
export function joined(some: readonly Readonly<Stretch>[], others: readonly Readonly<Stretch>[]): Stretch[] {
  if (some.length === 0 || others.length === 0) return [...some, ...others].map(([from, to]) => [from, to])
  const all: Stretch[] = []
  for (const [from, to] of [...some, ...others].sort((a, b) => a[0] - b[0])) {
    const last = all.at(-1)
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else all.push([from, to])
  }
  return all
}
