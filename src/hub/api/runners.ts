import * as z from 'zod'
import { RunnerList } from '../../contract/api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Identity } from '../auth/auth.ts'
import { needAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['runners']
const params = z.object({ id: z.string().describe('The runner') })

export function runnerRoutes(app: ApiApp, { runners }: ApiContext): void {
  const here = async ({ user }: Identity, id: string) =>
    (await runners.list(user.tenant)).some((runner) => runner.id === id)

  app.get(
    '/api/runners',
    { schema: { tags, summary: 'The runners, as a bare list', response: { 200: RunnerList } } },
    async ({ identity }) => await runners.list(identity.user.tenant),
  )

  app.post(
    '/api/runners/:id/drain',
    {
      schema: {
        tags,
        summary: 'Give it nothing new and let it finish (admin)',
        params,
        body: z.strictObject({}).prefault({}),
        response: { 202: z.object({ id: z.string() }) },
      },
    },
    async ({ identity, params }, reply) => {
      needAdmin(identity)
      if (!(await here(identity, params.id)) || !(await runners.drain(params.id)))
        throw unknownRunner(params.id)
      return reply.code(202).send({ id: params.id })
    },
  )

  app.delete(
    '/api/runners/:id',
    { schema: { tags, summary: 'Forget a runner (admin)', params, response: { 204: z.void() } } },
    async ({ identity, params }, reply) => {
      needAdmin(identity)
      if (!(await here(identity, params.id)) || !(await runners.remove(params.id)))
        throw unknownRunner(params.id)
      return reply.code(204).send()
    },
  )
}

const unknownRunner = (id: string) =>
  new ErrandError('not_found', `There is no runner "${id}".`, { hint: 'List them with: errand runners list' })
