import type { RunRecord } from '../../contract/run.ts'
import { runSummary } from '../../engine/core/view.ts'
import { isApprover, mayAnswer } from '../approvals/approvers.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './http/routes.ts'

/** Limits the list: a person reads all of it. */
const MOST = 200

export function approvalHandlers({ engine, approvals }: ApiContext) {
  return {
    'GET /api/approvals': async ({ identity: { user } }) => {
      const runs: RunRecord[] = []
      // Which of them are the person's own is only known once their owner is.
      for (const runId of approvals.runs((approvers) => mayAnswer(approvers, user, ''))) {
        const run = await engine.get(runId)
        if (run === undefined || run.tenant !== user.tenant || run.owner === user.name) continue
        if (isApprover(run, user)) runs.push(run)
        if (runs.length === MOST) break
      }
      return { runs: runs.map(runSummary) }
    },
  } satisfies Partial<Handlers>
}
