import type { Instance, Step } from '../../data/runs.ts'
import { shownStep } from '../../data/shown.ts'
import type { StepNode } from '../graph/nodes.ts'

/** A stretch of time of an instance, in ms since 1970; without an end it is still going on. */
export interface Part {
  from: number
  to: number | undefined
  /** `waits` means that it waits for a machine or for its next try; the other kinds say how a try went. */
  kind: 'waits' | 'running' | 'success' | 'failed' | 'canceled' | 'interrupted'
}

/** Returns the tries of an instance, with the waits before, between and after them. */
export function partsOf({
  attempts,
  status,
  waiting_since,
}: Pick<Instance, 'attempts' | 'status' | 'waiting_since'>): Part[] {
  const parts: Part[] = []
  const ms = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time))
  for (const { created_at, started_at, finished_at, outcome } of attempts) {
    const [created, started, ended] = [ms(created_at), ms(started_at), ms(finished_at)]
    if (created === undefined) continue
    parts.push({ from: parts.at(-1)?.to ?? created, to: started ?? ended, kind: 'waits' })
    if (started !== undefined) parts.push({ from: started, to: ended, kind: outcome ?? 'running' })
  }
  const since = ms(waiting_since)
  const last = parts.at(-1)
  // It waits for its next try, or for an answer to its agent.
  if (status === 'waiting' && since !== undefined && last?.kind !== 'waits') {
    if (last !== undefined && last.to === undefined) last.to = since
    parts.push({ from: last?.to ?? since, to: undefined, kind: 'waits' })
  }
  return parts
}

/** Precedence of simultaneous parts when a bar merges them. */
const worst: readonly Part['kind'][] = ['failed', 'interrupted', 'running', 'success', 'canceled', 'waits']

/**
 * Merges the parts of several instances into one bar, which shows at each moment the kind of highest precedence. A
 * part that is still going on ends at `end`.
 */
export function mergeParts(all: readonly (readonly Part[])[], end: number): Part[] {
  const edges = all.flat().flatMap(({ from, to = end, kind }) =>
    to > from
      ? [
          { at: from, kind, by: 1 },
          { at: to, kind, by: -1 },
        ]
      : [],
  )
  edges.sort((a, b) => a.at - b.at)
  const open = new Map<Part['kind'], number>()
  const merged: Part[] = []
  for (const [index, { at, kind, by }] of edges.entries()) {
    open.set(kind, (open.get(kind) ?? 0) + by)
    const next = edges[index + 1]?.at
    if (next === undefined || next === at) continue
    const now = worst.find((one) => (open.get(one) ?? 0) > 0)
    const last = merged.at(-1)
    if (now === undefined) continue
    if (last !== undefined && last.kind === now && last.to === at) last.to = next
    else merged.push({ from: at, to: next, kind: now })
  }
  return merged
}

/**
 * Returns the bar of a step over time: merged from its instances if all are at hand, otherwise from its start to its
 * end.
 */
export function stepParts(step: Step, isWhole: boolean, end: number): Part[] {
  if (step.started_at === undefined) return []
  const parts = step.instances.map(partsOf)
  if (isWhole && parts.some((some) => some.length > 0)) return mergeParts(parts, end)
  const from = Date.parse(step.started_at)
  const to = step.finished_at === undefined ? undefined : Date.parse(step.finished_at)
  const shown = shownStep(step)
  if (step.approval !== undefined || step.answered !== undefined) return [{ from, to, kind: 'waits' }]
  if (shown === 'success' || shown === 'failed' || shown === 'canceled' || shown === 'interrupted')
    return [{ from, to, kind: shown }]
  const since = step.waiting_since === undefined ? undefined : Date.parse(step.waiting_since)
  if (since === undefined) return [{ from, to, kind: 'running' }]
  return [
    ...(since > from ? [{ from, to: since, kind: 'running' as const }] : []),
    { from: since, to: undefined, kind: 'waits' },
  ]
}

/**
 * Returns the ids of the steps that determine how long the main steps took: back from the last step to end, each time
 * to the latest step that it waited for.
 */
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

/** Returns at most seven ticks for an axis of this length in ms, each with its label, such as `10 min`. */
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
