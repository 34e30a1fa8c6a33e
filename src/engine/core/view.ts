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

/** A run shown whole: the record, and the steps as folded from the log. */
export function viewOf(
  record: RunRecord,
  plan: Plan,
  state: RunState,
  beside: Pick<RunView, 'rollback' | 'chain' | 'retried_as'>,
): RunView {
  const lists = [
    ...plan.main.map((planned, index) => [planned, state.main[index]] as const),
    ...plan.rollback.map((planned, index) => [planned, state.rollback[index]] as const),
    ...plan.finally.map((planned, index) => [planned, state.finally[index]] as const),
  ]
  const steps: StepView[] = []
  for (const [planned, step] of lists) {
    if (!planned || !step) continue
    // A rollback that never came up is no part of what happened.
    if (step.phase === 'rollback' && step.status === 'queued') continue
    steps.push(stepView(record.run_id, planned, step, state))
  }
  const { vars, outputs } = record
  const tries = beside.chain?.at(-1)?.try
  const summary = runSummary(tries === undefined ? record : { ...record, tries })
  return { ...summary, vars, outputs, ...beside, steps, last_seq: state.seq }
}

function stepView(runId: string, planned: PlannedStep, step: StepState, state: RunState): StepView {
  const { phase, name, reason, message, started_at, finished_at } = step
  const approval = step.instances.find((instance) => instance.approval)?.approval
  const answered = step.instances.findLast((instance) => instance.answered)?.answered
  const children = step.instances.flatMap(({ child }) => (child ? [child] : []))
  const instances = step.instances.map((instance) => instanceView(runId, instance, state))
  const has = (status: StepStatus) => instances.some((instance) => instance.status === status)
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
    approval,
    answered,
    child_run_ids: children.length > 0 ? children : undefined,
    instances,
  }
}

function instanceView(runId: string, instance: InstanceState, state: RunState): z.infer<typeof InstanceView> {
  const { host, vars, reason, message, exit_code, duration_ms } = instance
  const attempts = instance.attempts.map((number) => {
    const attempt = state.attempts[number - 1]!
    const lengths = Object.entries(attempt.streams).map(([name, length]) => [name, { length }])
    return {
      attempt_id: attemptId(runId, number),
      number,
      try: attempt.try,
      outcome: attempt.end?.outcome,
      runner: attempt.runner,
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
  const waiting = instance.status === 'running' ? attempts.at(-1)?.waiting : undefined
  const status = waiting === undefined ? instance.status : 'waiting'
  return { host, vars, status, waiting, reason, message, exit_code, duration_ms, attempts }
}

/** A run as lists show it. */
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
  parent_run_id: record.parent?.run_id,
  retry_of: record.retry_of,
  first_run: record.first_run,
  try: record.try ?? (record.tries === undefined ? undefined : 1),
  tries: record.tries,
  rolls_back: record.rolls_back,
  continues: record.continues,
  replaces: record.replaces,
  last_notify_error: record.last_notify_error,
  ...(record.list_row === undefined ? {} : (JSON.parse(record.list_row) as RunListRow)),
})
