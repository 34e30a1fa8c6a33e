/** The first and the last of lines that follow each other. */
export type Stretch = [from: number, to: number]

/** Lines `1` to `total` that are in none of these stretches, which are in order and apart. */
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

/** Lines that are in one of the stretches or in one of the others, both in order; as stretches in order and apart. */
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
