import type { HeldAttempt } from '../../runner/ports.ts'
import type { ListedTask, TaskStatus } from './schema.ts'
import { endOf, taskStatus } from './task-answer.ts'

interface HostState {
  host: string
  status: TaskStatus
  message?: string
  started_at?: string
}

export interface RunState {
  run_id: string
  workflow_name: string
  status: TaskStatus
  message?: string
  steps: { name: string; status: TaskStatus; hosts: Record<string, HostState> }[]
  tasks: ListedTask[]
}

/** The first that some task has is the run's. */
const order: readonly TaskStatus[] = ['running', 'failed', 'interrupted', 'canceled', 'success']
const worst = (statuses: readonly TaskStatus[]): TaskStatus =>
  order.find((status) => statuses.includes(status)) ?? 'success'

/** This agent's knowledge of a run: the tasks it was given. Of several tries only the last one counts. */
export function runState(runId: string, attempts: readonly HeldAttempt[]): RunState | undefined {
  const mine = attempts.filter((attempt) => attempt.spec.run_id === runId)
  if (mine.length === 0) return undefined
  const last = new Map<string, HeldAttempt>()
  for (const attempt of mine) {
    const { step, host, instance } = attempt.spec
    const key = JSON.stringify([step, host, instance])
    const other = last.get(key)
    if (other === undefined || other.spec.try <= attempt.spec.try) last.set(key, attempt)
  }
  const counted = [...last.values()]
  const names = [...new Set(counted.map((attempt) => attempt.spec.step))]
  const status = worst(counted.map(taskStatus))
  const cause = counted.find((attempt) => taskStatus(attempt) === status)
  return {
    run_id: runId,
    workflow_name: mine[0]!.spec.workflow_name,
    status,
    message: cause && endOf(cause)?.message,
    steps: names.map((name) => stepState(name, counted)),
    tasks: mine.map(listed),
  }
}

/** The task without its output. */
export function listed(attempt: HeldAttempt): ListedTask {
  const { attempt_id, run_id, workflow_name, step, host, try: number } = attempt.spec
  return {
    task_id: attempt_id,
    run_id,
    workflow_name,
    step,
    host,
    try: number,
    status: taskStatus(attempt),
    message: endOf(attempt)?.message,
    started_at: startOf(attempt),
  }
}

const startOf = ({ reports }: HeldAttempt): string | undefined =>
  reports.find((report) => report.type === 'started')?.time

function stepState(name: string, attempts: readonly HeldAttempt[]): RunState['steps'][number] {
  const mine = attempts.filter((attempt) => attempt.spec.step === name)
  const hosts: Record<string, HostState> = {}
  for (const attempt of mine) {
    const host = attempt.spec.host
    const status = worst([taskStatus(attempt), ...(hosts[host] === undefined ? [] : [hosts[host].status])])
    hosts[host] = { host, status, message: endOf(attempt)?.message, started_at: startOf(attempt) }
  }
  return { name, status: worst(mine.map(taskStatus)), hosts }
}
