import type { RunOutline } from '../../../src/contract/runs/run-parts.ts'
import { type RunDetail, type Shown, type Step, shownStep } from '../../data/runs.ts'
import type { GraphNode } from './layout.ts'

/** A step as the graph draws it, with its definition in the file. */
export interface StepNode extends GraphNode {
  step: Step
  shown: Shown
  /** The step's condition, as written. */
  when: string | undefined
}

type WrittenStep = RunOutline['steps'][number]

export const nodeId = ({ phase, step }: Pick<Step, 'phase' | 'step'>): string => `${phase}:${step}`

const calm: readonly Shown[] = ['success', 'skipped', 'ahead', 'canceled', 'queued']

/**
 * Returns all steps of a run with their edges: those of the file in order, then rollbacks, then the steps at the end.
 */
export function nodesOf(
  run: Pick<RunDetail, 'steps'>,
  workflow: Pick<RunOutline, 'steps' | 'finally'> | undefined,
): StepNode[] {
  const written = new Map(workflow?.steps.map((step) => [step.name, step]))
  const last = new Map(workflow?.finally?.map((step) => [step.name, step]))
  const isGraph = workflow?.steps.some(({ needs }) => needs !== undefined) ?? false
  const node = (step: Step, needs: readonly string[], from?: WrittenStep): StepNode => {
    const shown = shownStep(step)
    return { id: nodeId(step), needs, step, shown, when: from?.when, quiet: calm.includes(shown) }
  }
  const main = run.steps.filter(({ phase }) => phase === 'main')
  const nodes = main.map((step, index) => {
    const from = written.get(step.step)
    const before = main[index - 1]
    const needs = isGraph
      ? [...new Set(from?.needs)].map((name) => `main:${name}`)
      : before === undefined
        ? []
        : [nodeId(before)]
    return node(step, needs, from)
  })
  const needed = new Set(nodes.flatMap(({ needs }) => needs))
  const ends = nodes.filter(({ id }) => !needed.has(id)).map(({ id }) => id)
  const broken = nodes
    .filter(({ shown }) => shown === 'failed' || shown === 'interrupted')
    .sort((a, b) => (a.step.finished_at ?? '').localeCompare(b.step.finished_at ?? ''))[0]
  const began = ({ started_at = '' }: Step) => started_at
  const undoing = run.steps
    .filter(({ phase }) => phase === 'rollback')
    .sort((a, b) => began(a).localeCompare(began(b)))
  let before = broken === undefined ? ends : [broken.id]
  for (const step of undoing) {
    nodes.push(node(step, before))
    before = [nodeId(step)]
  }
  before = undoing.length > 0 ? [...new Set([...ends, ...before])] : ends
  for (const step of run.steps.filter(({ phase }) => phase === 'finally')) {
    nodes.push(node(step, before, last.get(step.step)))
    before = [nodeId(step)]
  }
  return nodes
}
