import { ErrandError } from '../../contract/errors.ts'
import type { InstancePage } from '../../contract/runs/run-parts.ts'
import type { StepStatus } from '../../contract/status.ts'
import type { InstanceState, RunState, StepState } from './state.ts'
import { instanceView, order, shownStatus } from './view.ts'

export interface InstanceQuery {
  statuses?: readonly StepStatus[]
  text?: string
  limit: number
  cursor?: string
}

/** A page of the instances of a step, what failed first. Throws `bad_request` for a cursor that is none. */
export function instancePage(
  runId: string,
  step: StepState,
  state: RunState,
  { statuses, text, limit, cursor }: InstanceQuery,
): InstancePage {
  const after = cursor === undefined ? undefined : readCursor(cursor)
  const counts: Partial<Record<StepStatus, number>> = {}
  const found: [rank: number, index: number][] = []
  const wanted = text?.toLowerCase()
  for (const [index, instance] of step.instances.entries()) {
    if (wanted !== undefined && !hasText(instance, wanted)) continue
    const status = shownStatus(instance, state)
    counts[status] = (counts[status] ?? 0) + 1
    if (statuses !== undefined && !statuses.includes(status)) continue
    const place: [number, number] = [order.indexOf(status), index]
    if (after === undefined || compare(place, after) > 0) found.push(place)
  }
  found.sort(compare)
  const page = found.slice(0, limit)
  const last = page.at(-1)
  return {
    run_id: runId,
    step: step.name,
    phase: step.phase,
    total: step.instances.length,
    counts,
    instances: page.map(([, index]) => ({ ...instanceView(runId, step.instances[index]!, state), index })),
    next_cursor: found.length > limit && last !== undefined ? last.join('.') : undefined,
  }
}

const compare = (a: readonly [number, number], b: readonly [number, number]): number =>
  a[0] - b[0] || a[1] - b[1]

const hasText = ({ host, vars, message }: InstanceState, text: string): boolean =>
  [host, ...Object.values(vars ?? {}), message ?? ''].some((each) => each.toLowerCase().includes(text))

function readCursor(cursor: string): [number, number] {
  const [, rank, index] = /^(\d{1,2})\.(\d{1,9})$/.exec(cursor) ?? []
  if (rank === undefined)
    throw new ErrandError('bad_request', `This is no cursor of a list of instances: ${cursor}`, {
      hint: 'Send next_cursor of the page before, unchanged, or none.',
    })
  return [Number(rank), Number(index)]
}
