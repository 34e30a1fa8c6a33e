import type * as z from 'zod'
import { attemptId } from '../../contract/ids.ts'
import type {
  InstanceView,
  RunListRow,
  RunRecord,
  RunSummary,
  RunView,
  StepView,
} from '../../contract/run.ts'
import type { StepStatus } from '../../contract/status.ts'
import type { Plan, PlannedStep } from './plan.ts'
import type { InstanceState, RunState, StepState } from './state.ts'
import { waitsView } from './work.ts'

/**
 * Returns the view of a run: the record, and the steps as folded from the log, with at most so many `instances` of
 * each.
 */
export function viewOf(
  record: RunRecord,
  plan: Plan,
  state: RunState,
  beside: Pick<RunView, 'rollback' | 'chain' | 'retried_as'>,
  { instances = Number.POSITIVE_INFINITY }: { instances?: number } = {},
): RunView {
  const lists = [
    ...plan.main.map((planned, index) => [planned, state.main[index]] as const),
    ...plan.rollback.map((planned, index) => [planned, state.rollback[index]] as const),
    ...plan.finally.map((planned, index) => [planned, state.finally[index]] as const),
  ]
  const steps: StepView[] = []
  for (const [planned, step] of lists) {
    if (!planned || !step) continue
    // A rollback that was never needed is not part of what happened.
    if (step.phase === 'rollback' && step.status === 'queued') continue
    steps.push(stepView(record.run_id, planned, step, state, instances))
  }
  const { vars, outputs, shares } = record
  const tries = beside.chain?.at(-1)?.try
  const summary = runSummary(tries === undefined ? record : { ...record, tries })
  const canceled = state.cancel
  const cancel = canceled && { by: canceled.by, message: canceled.message, force: canceled.force }
  return { ...summary, vars, outputs, shares, cancel, ...beside, steps, last_seq: state.seq }
}

/** The order of instances when not all are shown: failed, waiting for somebody, running, then the others. */
export const order: readonly StepStatus[] = [
  'failed',
  'interrupted',
  'waiting',
  'running',
  'canceled',
  'queued',
  'skipped',
  'success',
]

/** Returns the status that an instance is shown with; while it is open, that depends on what it is doing. */
export const shownStatus = ({ status, activity }: InstanceState): StepStatus =>
  activity === undefined ? status : activity === 'works' ? 'running' : 'waiting'

/** Returns the positions of a step's first instances in that order; those of one status in the order of the file. */
function firstInstances(step: StepState, most: number): number[] {
  const byStatus = new Map<StepStatus, number[]>()
  for (const [index, instance] of step.instances.entries()) {
    const status = shownStatus(instance)
    const alike = byStatus.get(status)
    if (alike === undefined) byStatus.set(status, [index])
    else if (alike.length < most) alike.push(index)
  }
  return order.flatMap((status) => byStatus.get(status) ?? []).slice(0, most)
}

/** Counts a step's instances by shown status. */
function countsOf(step: StepState): Partial<Record<StepStatus, number>> {
  const counts: Partial<Record<StepStatus, number>> = {}
  for (const instance of step.instances) {
    const status = shownStatus(instance)
    counts[status] = (counts[status] ?? 0) + 1
  }
  return counts
}

function stepView(
  runId: string,
  planned: PlannedStep,
  step: StepState,
  state: RunState,
  most: number,
): StepView {
  const { phase, name, reason, message, started_at, finished_at } = step
  const approval = step.instances.find((instance) => instance.approval)?.approval
  const answered = step.instances.findLast((instance) => instance.answered)?.answered
  const isBounded = step.instances.length > most
  const shown = isBounded
    ? firstInstances(step, most).map((index) => ({ index, instance: step.instances[index]! }))
    : step.instances.map((instance) => ({ index: undefined, instance }))
  const children = shown.flatMap(({ instance: { child } }) => (child ? [child] : []))
  const instances = shown.map(({ index, instance }) => ({ ...instanceView(runId, instance, state), index }))
  const counts = isBounded ? countsOf(step) : undefined
  const has = (status: StepStatus) =>
    counts === undefined ? instances.some((one) => one.status === status) : (counts[status] ?? 0) > 0
  return {
    step: name,
    phase,
    action: planned.step.action,
    ...(planned.step.on_demand && { on_demand: true as const }),
    status: step.status === 'running' && has('waiting') && !has('running') ? 'waiting' : step.status,
    waiting: instances.find(({ waiting }) => waiting !== undefined)?.waiting,
    reason,
    message,
    started_at,
    finished_at,
    ...(started_at === undefined ? {} : waitsView(step.work)),
    approval,
    answered,
    child_run_ids: children.length > 0 ? children : undefined,
    instances,
    counts,
  }
}

/** Returns an instance with its attempts, as the API shows it. */
export function instanceView(
  runId: string,
  instance: InstanceState,
  state: RunState,
): z.infer<typeof InstanceView> {
  const { host, vars, reason, message, exit_code, last_error_line, duration_ms } = instance
  const attempts = instance.attempts.map((number) => {
    const attempt = state.attempts[number - 1]!
    const lengths = Object.entries(attempt.streams).map(([name, length]) => [name, { length }])
    return {
      attempt_id: attemptId(runId, number),
      number,
      try: attempt.try,
      outcome: attempt.end?.outcome,
      runner: attempt.runner,
      created_at: iso(attempt.created_ms),
      started_at: iso(attempt.started_ms),
      finished_at: iso(attempt.ended_ms),
      waiting: attempt.waiting,
      phase: attempt.at,
      restarts: attempt.restarts,
      ...attempt.got,
      refused: attempt.refused,
      ...attempt.facts,
      secrets: attempt.secrets,
      streams: lengths.length > 0 ? Object.fromEntries(lengths) : undefined,
      usage: attempt.end?.usage,
      denied: attempt.end?.denied,
      late_inputs: attempt.late,
    }
  })
  const status = shownStatus(instance)
  const waiting = instance.status === 'running' ? attempts.at(-1)?.waiting : undefined
  const child_run_id = instance.child
  const isAsking = instance.activity === 'asks' || undefined
  return {
    host,
    vars,
    status,
    waiting,
    asks: isAsking,
    reason,
    message,
    exit_code,
    last_error_line,
    duration_ms,
    ...(instance.waited_ms !== undefined || instance.waiting_since_ms !== undefined
      ? waitsView(instance)
      : {}),
    child_run_id,
    attempts,
  }
}

const iso = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString())

/** Returns a run as lists show it. */
export const runSummary = (record: RunRecord): RunSummary => ({
  run_id: record.run_id,
  blueprint: record.blueprint,
  workflow_name: record.workflow_name,
  status: record.status,
  reason: record.reason,
  message: record.message,
  owner: record.owner,
  repository: record.repository,
  created_at: record.created_at,
  started_at: record.started_at,
  finished_at: record.finished_at,
  waiting: record.waiting,
  waited_ms: record.waited_ms,
  worked_ms: workedMs(record),
  set_aside: record.set_aside,
  parent_run_id: record.parent?.run_id,
  retry_of: record.retry_of,
  first_run: record.first_run,
  try: record.try ?? (record.tries === undefined ? undefined : 1),
  tries: record.tries,
  rolls_back: record.rolls_back,
  continues: record.continues,
  replaces: record.replaces,
  last_notify_error: record.last_notify_error,
  ...shortInputs(record),
  labels: record.labels,
  last_seq: record.last_seq,
  ...(record.list_row === undefined ? {} : (JSON.parse(record.list_row) as RunListRow)),
  // A run that was ended from outside still has its previous row.
  ...(record.finished_at !== undefined && { waiting_since: undefined }),
})

/** Returns the time from its creation to its end in which the run did not wait. */
const workedMs = ({ created_at, finished_at, waited_ms }: RunRecord): number | undefined =>
  finished_at === undefined || waited_ms === undefined
    ? undefined
    : Math.max(0, Date.parse(finished_at) - Date.parse(created_at) - waited_ms)

const MOST_INPUTS = 3
const MOST_VALUE = 60

/** Returns the inputs that a list shows; those that the workflow declares come first. */
function shortInputs({ vars, workflow }: RunRecord): Pick<RunSummary, 'inputs' | 'inputs_left_out'> {
  const names = Object.keys(vars)
  if (names.length === 0) return {}
  const declared = (name: string) =>
    Number(Object.hasOwn((workflow as { inputs?: object }).inputs ?? {}, name))
  const shown = names.sort((a, b) => declared(b) - declared(a)).slice(0, MOST_INPUTS)
  const short = (value: string) =>
    value.length <= MOST_VALUE ? value : `${value.slice(0, MOST_VALUE - 1).replace(/[\ud800-\udbff]$/, '')}…`
  return {
    inputs: Object.fromEntries(shown.map((name) => [name, short(vars[name]!)])),
    ...(names.length > MOST_INPUTS && { inputs_left_out: names.length - MOST_INPUTS }),
  }
}
