import type { Instance } from '../../data/runs.ts'
import type { StepNode } from '../graph/nodes.ts'

/** A stretch of time of an instance, in ms since 1970; without an end it goes on. */
export interface Part {
  from: number
  to: number | undefined
  /** `waits`: for a machine, or for its next try; else how that try went. */
  kind: 'waits' | 'running' | 'success' | 'failed' | 'canceled' | 'interrupted'
}

/** The tries of an instance with the times between them. */
export function partsOf({ attempts }: Pick<Instance, 'attempts'>): Part[] {
  const parts: Part[] = []
  const ms = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time))
  for (const { created_at, started_at, finished_at, outcome } of attempts) {
    const [created, started, ended] = [ms(created_at), ms(started_at), ms(finished_at)]
    if (created === undefined) continue
    parts.push({ from: parts.at(-1)?.to ?? created, to: started ?? ended, kind: 'waits' })
    if (started !== undefined) parts.push({ from: started, to: ended, kind: outcome ?? 'running' })
  }
  return parts
}

/** Ids of the steps that say how long the main steps took: from the last to end, back by what it waited for longest. */
export function criticalPath(nodes: readonly Pick<StepNode, 'id' | 'needs' | 'step'>[]): Set<string> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  type Node = (typeof nodes)[number]
  const end = ({ step }: Node) => (step.started_at === undefined ? '' : (step.finished_at ?? '~'))
  const latest = (some: readonly (Node | undefined)[]) =>
    some
      .filter((one) => one !== undefined && end(one) !== '')
      .reduce<Node | undefined>((a, b) => (a === undefined || end(b!) > end(a) ? b : a), undefined)
  const path = new Set<string>()
  let at = latest(nodes.filter(({ step }) => step.phase === 'main'))
  while (at !== undefined && !path.has(at.id)) {
    path.add(at.id)
    at = latest(at.needs.map((id) => byId.get(id)))
  }
  return path
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400]

/** Places of an axis over so many ms, at most seven, each with its word such as `10 min`. */
export function ticksOf(lengthMs: number): { ms: number; word: string }[] {
  const shorter = [10, 20, 50, 100, 200, 500]
  const step =
    [...shorter, ...steps.map((one) => one * 1000)].find((one) => lengthMs / one <= 6.5) ??
    86_400_000 * Math.ceil(lengthMs / 6 / 86_400_000)
  return Array.from({ length: Math.floor(lengthMs / step) }, (_, index) => {
    const ms = (index + 1) * step
    const [size, unit] =
      step < 1000
        ? [1, 'ms']
        : step < 60_000
          ? [1000, 's']
          : step < 3_600_000
            ? [60_000, 'min']
            : [3_600_000, 'h']
    return { ms, word: `${ms / size} ${unit}` }
  })
}
