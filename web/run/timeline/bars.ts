import type { RunEvent } from '../../../src/contract/events.ts'
import type { Step } from '../../data/runs.ts'
import type { StepNode } from '../graph/nodes.ts'

/** A stretch of time of an instance, in ms since 1970; without an end it goes on. */
export interface Part {
  from: number
  to: number | undefined
  /** `waits`: for a machine, or for its next try; else how that try went. */
  kind: 'waits' | 'running' | 'success' | 'failed' | 'canceled' | 'interrupted'
}

export const instanceKey = (step: Pick<Step, 'phase' | 'step'>, instance: number): string =>
  `${step.phase}:${step.step} ${instance}`

/** The tries of each instance with the times between them, by `instanceKey`. */
export function partsOf(events: readonly RunEvent[]): Map<string, Part[]> {
  const all = new Map<string, Part[]>()
  const keyOf = new Map<number, string>()
  for (const event of events) {
    if (event.type === 'attempt.created') {
      const key = instanceKey(event, event.instance)
      keyOf.set(event.attempt, key)
      const own = all.get(key) ?? []
      all.set(key, own)
      own.push({ from: own.at(-1)?.to ?? Date.parse(event.time), to: undefined, kind: 'waits' })
    } else if (event.type === 'attempt.started' || event.type === 'attempt.finished') {
      const own = all.get(keyOf.get(event.attempt) ?? '')
      const last = own?.at(-1)
      if (own === undefined || last === undefined) continue
      const time = Date.parse(event.time)
      if (event.type === 'attempt.started') {
        last.to = time
        own.push({ from: time, to: undefined, kind: 'running' })
      } else {
        last.to = time
        if (last.kind === 'running') last.kind = event.outcome
      }
    }
  }
  return all
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
