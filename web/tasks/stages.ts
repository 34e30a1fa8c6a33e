import type { Shown } from '../data/runs.ts'

/** A step with its status as shown. */
export interface ShownStep {
  step: string
  phase: string
  shown: Shown
}

/** A stage of a task: some steps of its try, grouped by the first part of their names. */
export interface Stage {
  name: string
  shown: Shown
}

const stages: readonly [name: string, steps: readonly string[]][] = [
  ['fetch', ['check', 'workspace', 'setup']],
  ['plan', ['plan', 'plan_approval']],
  ['implement', ['implement']],
  ['test', ['carry', 'test']],
  ['review', ['review', 'fix']],
  ['push', ['protected_approval', 'push']],
  ['pull request', ['pull_request']],
]

const firstOf = (step: string): string => step.replace(/[.].*$/, '')

/** Returns the status of several steps: the one that most needs attention. Skipped steps do not count. */
function shownOf(steps: readonly ShownStep[]): Shown | undefined {
  const shown = steps.map((one): Shown => one.shown).filter((one): boolean => one !== 'skipped')
  const order: readonly Shown[] = ['asks', 'failed', 'interrupted', 'canceled', 'running', 'room', 'waiting']
  const one = order.find((each) => shown.includes(each))
  if (one !== undefined) return one
  if (shown.length === 0) return undefined
  if (shown.every((each) => each === 'success')) return 'success'
  // The stage is between two of its steps.
  return shown.includes('success') ? 'running' : 'ahead'
}

/** Returns the stages of a try in order, without those whose steps were all skipped. */
export function stagesOf(steps: readonly ShownStep[], isOver: boolean): Stage[] {
  // Optional later rounds do not count before they start.
  const main = steps.filter(
    ({ phase, step, shown }) => phase === 'main' && !(shown === 'ahead' && /\.([2-9]|\d\d)$/.test(step)),
  )
  return stages.flatMap(([name, names]) => {
    const shown = shownOf(main.filter(({ step }) => names.includes(firstOf(step))))
    if (shown === undefined) return []
    return [{ name, shown: isOver && shown === 'running' ? 'success' : shown }]
  })
}

const letters: Partial<Record<Shown, string>> = {
  success: 'd',
  failed: 'f',
  running: 'r',
  ahead: 'a',
  asks: 'q',
  room: 'w',
  waiting: 'w',
  interrupted: 'i',
  canceled: 'c',
}
export const routeOfStages = (of: readonly Stage[]) => ({
  stops: of.map(({ shown }) => letters[shown] ?? 'a').join(''),
})
