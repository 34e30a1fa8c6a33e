import { ErrandError } from '../../contract/errors.ts'
import { RunStatus } from '../../contract/status.ts'
import type { Problem } from '../../engine/file/problem.ts'
import { runSummary } from '../../engine/run-summary.ts'
import { checkAgentName } from '../agents/agent-names.ts'
import { chosenRunId, isAdmin, visibleRun } from './access.ts'
import type { ApiContext } from './api-context.ts'
import { IdempotentRuns } from './idempotency.ts'
import type { Handlers } from './routes.ts'
import { blueprintRun } from './run-request.ts'

export function runHandlers({ engine, accounts, repositories, runners }: ApiContext) {
  const idempotent = new IdempotentRuns(engine, accounts)

  return {
    'POST /api/runs': async ({ identity, body, query, headers }, reply) => {
      const vars = query.var === undefined ? body.vars : { ...body.vars, ...variables([query.var].flat()) }
      const repository = query.repository ?? body.repository
      const checkAgent = async (name: string) =>
        checkAgentName(name, await runners.list(identity.user.tenant))
      const warnings: Problem[] = []
      const submission = {
        run_id: chosenRunId(identity, query.run_id ?? body.run_id),
        ...(await blueprintRun({ ...body, vars }, checkAgent)),
        repository,
        group: repositories.groupOf(repository),
        owner: identity.user.name,
        tenant: identity.user.tenant,
        onWarnings: (found: readonly Problem[]) => void warnings.push(...found),
      }
      const key = headers['idempotency-key']
      const { record, fresh } =
        key === undefined
          ? { record: await engine.submit(submission), fresh: true }
          : await idempotent.create(key, submission)
      reply.code(fresh ? 201 : 200).header('location', `/api/runs/${record.run_id}`)
      return { ...runSummary(record), ...(warnings.length > 0 && { warnings }) }
    },

    'GET /api/runs': async ({ identity, query }) => {
      const { user } = identity
      const { status, owner, created_after, created_before, ...rest } = query
      if (!isAdmin(identity) && owner !== undefined && owner !== user.name) return { runs: [] }
      const page = await engine.list({
        ...rest,
        statuses: status === undefined ? undefined : statuses(status),
        created_after: moment('created_after', created_after),
        created_before: moment('created_before', created_before),
        owner: isAdmin(identity) ? owner : user.name,
        tenant: user.tenant,
      })
      return { runs: page.runs.map(runSummary), next_cursor: page.next_cursor }
    },

    'GET /api/runs/:id': async ({ identity, params }) => {
      await visibleRun(engine, identity, params.id)
      return await engine.view(params.id)
    },

    'GET /api/runs/:id/workflow': async ({ identity, params }) => {
      const { run_id, workflow_name, workflow, vars } = await visibleRun(engine, identity, params.id)
      return { run_id, workflow_name, workflow, vars }
    },
  } satisfies Partial<Handlers>
}

function variables(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)]
      throw new ErrandError('bad_request', 'query.var: a variable is written KEY=value.', {
        hint: 'Such as ?var=NAME=world, any number of times.',
      })
    }),
  )
}

function statuses(text: string): RunStatus[] {
  return text.split(',').map((each) => {
    const status = RunStatus.safeParse(each.trim())
    if (status.success) return status.data
    throw new ErrandError('bad_request', `query.status: "${each}" is no status.`, {
      hint: `One or several of ${RunStatus.options.join(', ')}.`,
    })
  })
}

function moment(field: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  if (!Number.isNaN(ms)) return new Date(ms).toISOString()
  throw new ErrandError('bad_request', `query.${field}: "${text}" is no time.`, {
    hint: 'Write it as 2026-01-31T10:00:00Z.',
  })
}
