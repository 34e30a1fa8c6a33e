import * as z from 'zod'
import type { RunRecord, StepView } from '../../contract/run.ts'
import { RunStatusView } from '../../contract/run-api.ts'
import type { StepStatus } from '../../contract/status.ts'
import { visibleRun } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

export function runStatusRoutes(app: ApiApp, { engine }: ApiContext): void {
  app.get(
    '/run-status',
    {
      schema: {
        tags: ['runs'],
        summary: "A run's state, as the workflow runner tells it",
        querystring: z.object({ run_id: z.string() }),
        response: { 200: RunStatusView },
      },
    },
    async ({ identity, query }) => {
      const record = await visibleRun(engine, identity, query.run_id)
      return runStatus(record, (await engine.view(record.run_id)).steps)
    },
  )
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
