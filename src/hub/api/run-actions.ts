import type { AnswerApproval } from '../../contract/run-api.ts'
import { runSummary } from '../../engine/run-summary.ts'
import type { Identity } from '../auth/auth.ts'
import { deleteRun } from '../retention/delete-run.ts'
import { visibleRun } from './access.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function runActionHandlers({ engine, accounts }: ApiContext) {
  /** What the run is after the change. */
  const accepted = async (runId: string) => ({ run_id: runId, status: (await engine.get(runId))!.status })

  const decide = async (
    identity: Identity,
    runId: string,
    answer: AnswerApproval & { decision: 'approve' | 'reject' },
  ) => {
    await visibleRun(engine, identity, runId)
    await engine.answer(runId, { ...answer, by: identity.user.name })
    return await accepted(runId)
  }

  return {
    'POST /api/runs/:id/cancel': async ({ identity, params, body }) => {
      await visibleRun(engine, identity, params.id)
      await engine.cancel(params.id, { by: identity.user.name, ...body })
      return await accepted(params.id)
    },

    'POST /api/runs/:id/retry': async ({ identity, params, body }, reply) => {
      await visibleRun(engine, identity, params.id)
      const record = await engine.retry(params.id, { only: body.only, owner: identity.user.name })
      reply.header('location', `/api/runs/${record.run_id}`)
      return runSummary(record)
    },

    'POST /api/runs/:id/rollback': async ({ identity, params }, reply) => {
      await visibleRun(engine, identity, params.id)
      const record = await engine.rollback(params.id, { owner: identity.user.name })
      reply.header('location', `/api/runs/${record.run_id}`)
      return runSummary(record)
    },

    'DELETE /api/runs/:id': async ({ identity, params }) => {
      const run = await visibleRun(engine, identity, params.id)
      return { deleted: await deleteRun(engine, accounts, run) }
    },

    'POST /api/runs/:id/approve': ({ identity, params, body }) =>
      decide(identity, params.id, { ...body, decision: 'approve' }),

    'POST /api/runs/:id/reject': ({ identity, params, body }) =>
      decide(identity, params.id, { ...body, decision: 'reject' }),
  } satisfies Partial<Handlers>
}
