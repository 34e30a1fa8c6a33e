import { ErrandError } from '../../contract/errors.ts'
import type { InstancePage, StepOverview } from '../../contract/runs/run-parts.ts'
import type { StepStatus } from '../../contract/status.ts'
import type { InstanceState, RunState, StepState } from './state.ts'
import { instanceView, order, shownStatus } from './view.ts'

export interface InstanceQuery {
  statuses?: readonly StepStatus[]
  text?: string
  host?: string
  index?: number
  limit: number
  cursor?: string
}

/** Returns a page of a step's instances, failed ones first. Throws `bad_request` for an invalid cursor. */
export function instancePage(
  runId: string,
  step: StepState,
  state: RunState,
  { statuses, text, host, index: only, limit, cursor }: InstanceQuery,
): InstancePage {
  const after = cursor === undefined ? undefined : readCursor(cursor)
  const counts: Partial<Record<StepStatus, number>> = {}
  const found: [rank: number, index: number][] = []
  const needle = text?.toLowerCase()
  for (const [index, instance] of step.instances.entries()) {
    if (needle !== undefined && !hasText(instance, needle)) continue
    if ((host !== undefined && instance.host !== host) || (only !== undefined && index !== only)) continue
    const status = shownStatus(instance)
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

const letters: Record<StepStatus, string> = {
  queued: 'a',
  waiting: 'w',
  running: 'r',
  success: 'd',
  skipped: 'k',
  failed: 'f',
  canceled: 'c',
  interrupted: 'i',
}
const PARTS = 60

/** Summarizes all instances of a step: a letter for each, and what those of one status have in common. */
export function stepOverview(runId: string, step: StepState, state: RunState, nowMs: number): StepOverview {
  const { name, phase, started_at, finished_at } = step
  const from = started_at === undefined ? undefined : Date.parse(started_at)
  const until = Math.max(finished_at === undefined ? nowMs : Date.parse(finished_at), from ?? 0)
  type Group = { count: number; took: number[]; began: number; ended: number[] }
  const groups = new Map<StepStatus, Group>()
  let [instances, waited] = ['', 0]
  for (const instance of step.instances) {
    const status = shownStatus(instance)
    instances += letters[status]
    const group = groups.get(status) ?? { count: 0, took: [], began: Number.POSITIVE_INFINITY, ended: [] }
    groups.set(status, group)
    group.count++
    if (instance.duration_ms !== undefined) group.took.push(instance.duration_ms)
    const attempts = instance.attempts.map((number) => state.attempts[number - 1]!)
    for (const { created_ms, started_ms, ended_ms } of attempts)
      waited += Math.max(0, (started_ms ?? ended_ms ?? nowMs) - created_ms)
    const [first, last] = [attempts[0]?.created_ms, attempts.at(-1)?.ended_ms]
    if (first !== undefined) group.began = Math.min(group.began, first)
    if (last === undefined || from === undefined) continue
    const share = (last - from) / Math.max(1, until - from)
    const part = Math.min(PARTS - 1, Math.max(0, Math.floor(share * PARTS)))
    if (group.ended.length === 0) group.ended = new Array<number>(PARTS).fill(0)
    group.ended[part]!++
  }
  const by_status: StepOverview['by_status'] = {}
  for (const status of order) {
    const group = groups.get(status)
    if (group === undefined) continue
    const took = group.took.sort((a, b) => a - b)
    by_status[status] = {
      count: group.count,
      median_ms: took[Math.floor((took.length - 1) / 2)],
      longest_ms: took.at(-1),
      began_at: Number.isFinite(group.began) ? new Date(group.began).toISOString() : undefined,
      ended: group.ended.length > 0 ? group.ended : undefined,
    }
  }
  const end = from === undefined ? undefined : new Date(until).toISOString()
  return {
    run_id: runId,
    step: name,
    phase,
    total: step.instances.length,
    instances,
    waited_ms: waited,
    by_status,
    until: end,
  }
}

const compare = (a: readonly [number, number], b: readonly [number, number]): number =>
  a[0] - b[0] || a[1] - b[1]

const hasText = ({ host, vars, message }: InstanceState, text: string): boolean =>
  [host, ...Object.values(vars ?? {}), message ?? ''].some((each) => each.toLowerCase().includes(text))

function readCursor(cursor: string): [number, number] {
  const [, rank, index] = /^(\d{1,2})\.(\d{1,9})$/.exec(cursor) ?? []
  if (rank === undefined)
    throw new ErrandError('bad_request', `This is not a cursor of a list of instances: ${cursor}`, {
      hint: 'Send the next_cursor of the previous page unchanged, or no cursor.',
    })
  return [Number(rank), Number(index)]
}
