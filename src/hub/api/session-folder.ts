import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import type { ApiContext } from './api-context.ts'
import { readableRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

/** Milliseconds that a query may take: a repository may be large, and its disk slow. */
const WITHIN_MS = 30_000

/** Serves the folder that a session works in, as its runner sees it now. */
export function sessionFolderHandlers({ engine, asks, limits }: ApiContext) {
  /** Returns the place of the folder. Throws `not_found` if the session has no folder to show, now or ever. */
  async function placeOf({
    run_id,
    tenant,
    status,
  }: RunRecord): Promise<{ of: TenantRunner; attempt_id: string }> {
    const { steps } = await engine.view(run_id, { instances: 1 })
    const step = steps.find(({ action }) => action === 'agent.run')
    if (step === undefined)
      throw new ErrandError(
        'not_found',
        `Run ${run_id} is not a session with an agent, so it has no folder to show.`,
        {
          hint: `List the artifacts that its steps saved with: errand runs artifacts ${run_id}`,
        },
      )
    const last = step.instances[0]?.attempts.at(-1)
    if (isFinalRun(status) || last?.outcome !== undefined)
      throw new ErrandError(
        'not_found',
        `The session of run ${run_id} has ended, so its folder is no longer available.`,
        {
          hint: `If it worked in a repository, see its change with: errand runs diff ${run_id}`,
        },
      )
    if (last?.runner === undefined)
      throw new ErrandError(
        'not_found',
        `The session of run ${run_id} has no runner yet, so it has no folder.`,
        {
          hint: 'Wait until it has started.',
        },
      )
    return { of: { tenant, id: last.runner }, attempt_id: last.attempt_id }
  }

  type Ask = WorkspaceQuery extends infer Each
    ? Each extends WorkspaceQuery
      ? Omit<Each, 'attempt_id'>
      : never
    : never
  async function ask<Part extends 'folder' | 'file' | 'change'>(
    run: RunRecord,
    query: Ask,
    part: Part,
  ): Promise<NonNullable<RunnerAnswer[Part]>> {
    const { of, attempt_id } = await placeOf(run)
    const answer = await asks.answer(of, { ...query, attempt_id } as WorkspaceQuery, WITHIN_MS)
    const found = answer[part]
    if (found !== undefined) return found
    throw new ErrandError('internal', `Runner "${of.id}" sent an unexpected answer.`)
  }

  return {
    'GET /api/runs/:id/workspace': async ({ identity, params }) =>
      await ask(await readableRun(engine, identity, params.id), { what: 'tell_change' }, 'change'),

    'GET /api/runs/:id/workspace/files': async ({ identity, params, query }) =>
      await ask(
        await readableRun(engine, identity, params.id),
        { what: 'list_folder', path: query.path },
        'folder',
      ),

    'GET /api/runs/:id/workspace/file': async ({ identity, params, query }) =>
      await ask(
        await readableRun(engine, identity, params.id),
        { what: 'read_file', path: query.path },
        'file',
      ),

    'GET /api/runs/:id/workspace/diff': async ({ identity, params, query }, reply) => {
      const { of, attempt_id } = await placeOf(await readableRun(engine, identity, params.id))
      const { commit } = query
      const diff = await asks.body(of, { what: 'read_change', attempt_id, commit }, WITHIN_MS)
      // A client that reads nothing for so long would keep the runner busy.
      reply.raw.setTimeout(limits.slowReaderMs, () => reply.raw.destroy())
      reply
        .header('cache-control', 'no-store')
        .header('content-security-policy', "sandbox; default-src 'none'")
        .type('text/x-diff; charset=utf-8')
      return reply.send(diff as unknown as string)
    },
  } satisfies Partial<Handlers>
}
