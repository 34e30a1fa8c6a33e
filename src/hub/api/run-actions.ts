import * as z from 'zod'
import { RunSummary } from '../../contract/run.ts'
import { Accepted, AnswerApproval, CancelRun, RetryRun, RunsDeleted } from '../../contract/run-api.ts'
import { runSummary } from '../../engine/run-summary.ts'
import { deleteRun } from '../retention/delete-run.ts'
import { visibleRun } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['runs']
const params = z.object({ id: z.string().describe('The run') })

export function runActionRoutes(app: ApiApp, { engine, accounts }: ApiContext): void {
  /** What the run is after the change. */
  const accepted = async (runId: string) => ({ run_id: runId, status: (await engine.get(runId))!.status })

  app.post(
    '/api/runs/:id/cancel',
    {
      schema: {
        tags,
        summary: 'Cancel; the end comes as an event',
        params,
        body: CancelRun.prefault({}),
        response: { 202: Accepted },
      },
    },
    async ({ identity, params, body }, reply) => {
      await visibleRun(engine, identity, params.id)
      await engine.cancel(params.id, { by: identity.user.name, ...body })
      return reply.code(202).send(await accepted(params.id))
    },
  )

  app.post(
    '/api/runs/:id/retry',
    {
      schema: {
        tags,
        summary: 'A new run of the same workflow: of all of it, or of what failed',
        params,
        body: RetryRun.prefault({}),
        response: { 201: RunSummary },
      },
    },
    async ({ identity, params, body }, reply) => {
      await visibleRun(engine, identity, params.id)
      const record = await engine.retry(params.id, { only: body.only, owner: identity.user.name })
      reply.code(201).header('location', `/api/runs/${record.run_id}`)
      return runSummary(record)
    },
  )

  app.post(
    '/api/runs/:id/rollback',
    {
      schema: {
        tags,
        summary: 'A new run that undoes what succeeded, in reverse',
        params,
        body: z.strictObject({}).prefault({}),
        response: { 201: RunSummary },
      },
    },
    async ({ identity, params }, reply) => {
      await visibleRun(engine, identity, params.id)
      const record = await engine.rollback(params.id, { owner: identity.user.name })
      reply.code(201).header('location', `/api/runs/${record.run_id}`)
      return runSummary(record)
    },
  )

  app.delete(
    '/api/runs/:id',
    {
      schema: {
        tags,
        summary: 'Delete an ended run, and the runs that it has started: events, output, all',
        params,
        response: { 200: RunsDeleted },
      },
    },
    async ({ identity, params }) => {
      const run = await visibleRun(engine, identity, params.id)
      return { deleted: await deleteRun(engine, accounts, run) }
    },
  )

  for (const decision of ['approve', 'reject'] as const)
    app.post(
      `/api/runs/:id/${decision}`,
      {
        schema: {
          tags,
          summary: decision === 'approve' ? 'Say yes to a waiting approval' : 'Say no to a waiting approval',
          params,
          body: AnswerApproval,
          response: { 200: Accepted },
        },
      },
      async ({ identity, params, body }) => {
        await visibleRun(engine, identity, params.id)
        await engine.answer(params.id, { ...body, decision, by: identity.user.name })
        return await accepted(params.id)
      },
    )
}
