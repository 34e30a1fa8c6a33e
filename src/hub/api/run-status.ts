import type { RunRecord, StepView } from '../../contract/run.ts'
import type { RunStatusView } from '../../contract/run-api.ts'
import type { StepStatus } from '../../contract/status.ts'
import { visibleRun } from './access.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function runStatusHandlers({ engine }: ApiContext) {
  return {
    'GET /run-status': async ({ identity, query }) => {
      const record = await visibleRun(engine, identity, query.run_id)
      return runStatus(record, (await engine.view(record.run_id)).steps)
    },
  } satisfies Partial<Handlers>
}

const telling: readonly StepStatus[] = ['failed', 'interrupted', 'canceled', 'running', 'waiting']

function runStatus(record: RunRecord, steps: readonly StepView[]): RunStatusView {
  const wanted = record.finished_at === undefined ? telling.slice(3) : telling.slice(0, 3)
  const step = record.status === 'success' ? undefined : steps.find(({ status }) => wanted.includes(status))
  const instance = step?.instances.find(({ status }) => wanted.includes(status))
  const failed = record.status !== 'success' && record.finished_at !== undefined
  return {
    run_id: record.run_id,
    workflow_name: record.workflow_name,
    status: record.status,
    step: step?.step,
    host: instance?.host,
    error: failed ? (record.message ?? step?.message ?? record.reason) : undefined,
    started_at: record.started_at,
    finished_at: record.finished_at,
    last_notify_error: record.last_notify_error,
  }
}
