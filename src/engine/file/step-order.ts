/** Sets of steps, as bits by position: a graph may have thousands. */
export interface StepOrder {
  /** Of each step, those that have ended when it begins. */
  before: readonly bigint[]
  /** Of each step, those that begin when it has ended. */
  after: readonly bigint[]
}

export const bit = (position: number): bigint => 1n << BigInt(position)

/** The first of a set that is not empty. */
export const first = (steps: bigint): number => (steps & -steps).toString(2).length - 1

/** `needs`: of each step the positions of those it needs, without a circle. */
export function stepOrder(needs: readonly (readonly number[])[]): StepOrder {
  const dependents: number[][] = needs.map(() => [])
  for (const [step, own] of needs.entries()) for (const need of own) dependents[need]!.push(step)
  const open = needs.map((own) => own.length)
  const sorted = [...needs.keys()].filter((step) => open[step] === 0)
  for (const step of sorted) for (const next of dependents[step]!) if (--open[next]! === 0) sorted.push(next)
  return { before: reach(needs, sorted), after: reach(dependents, sorted.reverse()) }
}

/** All that the edges lead to, directly or through others; whom they lead to comes first in `sorted`. */
function reach(edges: readonly (readonly number[])[], sorted: readonly number[]): bigint[] {
  const reached = edges.map(() => 0n)
  for (const step of sorted) for (const next of edges[step]!) reached[step]! |= reached[next]! | bit(next)
  return reached
}
