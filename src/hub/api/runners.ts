import * as z from 'zod'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { RunnerView } from '../../contract/protocol.ts'
import { RunnerDetail, RunnerList, RunnersQuery } from '../../contract/runner-api.ts'
import type { Identity } from '../auth/auth.ts'
import { isAdmin, needAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['runners']
const params = z.object({ id: z.string().describe('The runner') })

export function runnerRoutes(app: ApiApp, { runners, accounts, auth }: ApiContext): void {
  /** Throws `not_found`, also where it is another tenant's. */
  async function here({ user }: Identity, id: string): Promise<RunnerView> {
    const runner = (await runners.list(user.tenant)).find((each) => each.id === id)
    if (runner === undefined) throw unknownRunner(id)
    return runner
  }

  app.get(
    '/api/runners',
    {
      schema: {
        tags,
        summary: 'The runners, as a bare list',
        querystring: RunnersQuery,
        response: { 200: RunnerList },
      },
    },
    async ({ identity, query }) => (await runners.list(identity.user.tenant)).filter(fitting(query)),
  )

  app.get(
    '/api/runners/:id',
    { schema: { tags, summary: 'A runner, with what it is at', params, response: { 200: RunnerDetail } } },
    async ({ identity, params }) => {
      const runner = await here(identity, params.id)
      const shown = (await runners.attempts({ tenant: identity.user.tenant, id: runner.id })).filter(
        ({ owner }) => isAdmin(identity) || owner === identity.user.name,
      )
      return { ...runner, attempts: shown.map(attemptView) }
    },
  )

  for (const [action, summary] of [
    ['drain', 'Give it nothing new and let it finish, until it is resumed (admin)'],
    ['resume', 'Give a drained runner work again (admin)'],
  ] as const)
    app.post(
      `/api/runners/:id/${action}`,
      {
        schema: {
          tags,
          summary,
          params,
          body: z.strictObject({}).prefault({}),
          response: { 202: z.object({ id: z.string() }) },
        },
      },
      async ({ identity, params: { id } }, reply) => {
        needAdmin(identity)
        await here(identity, id)
        const runner = { tenant: identity.user.tenant, id }
        if (!(await (action === 'drain' ? runners.drain(runner) : runners.undrain(runner))))
          throw unknownRunner(id)
        return reply.code(202).send({ id })
      },
    )

  app.delete(
    '/api/runners/:id',
    {
      schema: {
        tags,
        summary: 'Forget a runner and revoke its own token (admin)',
        params,
        querystring: z.strictObject({
          force: z.stringbool().default(false).describe('Also one that is connected; what it has is lost'),
        }),
        response: { 204: z.void() },
      },
    },
    async ({ identity, params: { id }, query }, reply) => {
      needAdmin(identity)
      const { status } = await here(identity, id)
      if (status !== 'disconnected' && !query.force)
        throw new ErrandError('conflict', `The runner "${id}" is connected.`, {
          hint: `Drain and stop it first; or remove it by force, which loses what it is at: errand runners remove ${id} --force`,
        })
      const runner = { tenant: identity.user.tenant, id }
      await accounts.revokeRunnerTokens(runner, new Date().toISOString())
      if (!(await runners.remove(runner))) throw unknownRunner(id)
      auth.changed()
      return reply.code(204).send()
    },
  )
}

/** Throws `bad_request`. */
function fitting({ status, group, label }: RunnersQuery): (runner: RunnerView) => boolean {
  const wanted = status?.split(',').map((each) => {
    const parsed = RunnerView.shape.status.safeParse(each.trim())
    if (parsed.success) return parsed.data
    throw new ErrandError('bad_request', `query.status: "${each}" is no status of a runner.`, {
      hint: `One or several of ${RunnerView.shape.status.options.join(', ')}.`,
    })
  })
  const labels = [label ?? []].flat().map((text) => text.split(/=(.*)/s))
  return (runner) =>
    (wanted === undefined || wanted.includes(runner.status)) &&
    (group === undefined || runner.group === group) &&
    labels.every(
      ([name, value]) =>
        Object.hasOwn(runner.labels, name!) && (value === undefined || runner.labels[name!] === value),
    )
}

const attemptView = ({ attempt_id, run_id, workflow_name, step, host, owner }: AttemptSpec) => ({
  attempt_id,
  run_id,
  workflow_name,
  step,
  host,
  owner,
})

const unknownRunner = (id: string) =>
  new ErrandError('not_found', `There is no runner "${id}".`, { hint: 'List them with: errand runners list' })
