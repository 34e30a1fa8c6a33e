import type { RunRecord } from '../../contract/run.ts'
import type { LastGood } from '../../contract/runs/run-parts.ts'
import { mergeExports, type RunState, type StepState } from './state.ts'

/** Values of exports longer than this are cut. */
const MAX_SHOWN_VALUE = 2000

/** Describes a successful run for comparison with another: each step with its duration and exports. */
export function goodRun(record: RunRecord, state: RunState): NonNullable<LastGood['run']> {
  const { run_id, created_at, started_at, finished_at, status, vars, outputs } = record
  const steps = [...state.main, ...state.finally].map((step) => ({
    step: step.name,
    phase: step.phase,
    status: step.status,
    duration_ms: durationOf(step),
    instances: step.instances.length,
    exports: exportsOf(step),
  }))
  return { run_id, created_at, started_at, finished_at, status, vars, outputs, steps }
}

function durationOf({ started_at, finished_at }: StepState): number | undefined {
  if (started_at === undefined || finished_at === undefined) return undefined
  return Math.max(0, Date.parse(finished_at) - Date.parse(started_at))
}

function exportsOf({ instances }: StepState): Record<string, string> | undefined {
  const merged: RunState['vars'] = new Map()
  mergeExports(merged, instances)
  if (merged.size === 0) return undefined
  const cut = (text: string) =>
    text.length <= MAX_SHOWN_VALUE
      ? text
      : `${text.slice(0, MAX_SHOWN_VALUE - 1).replace(/[\ud800-\udbff]$/, '')}…`
  return Object.fromEntries([...merged].map(([name, { value }]) => [name, cut(value)]))
}
