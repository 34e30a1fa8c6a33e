import type { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import type { ApiContext } from './api-context.ts'
import { ownerOf } from './bots.ts'
import { isAdmin } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

export function botDataHandlers({ bots, limits }: ApiContext) {
  return {
    'GET /api/bot-data': async ({ identity, query: { owner } }) => {
      const { name, tenant } = identity.user
      return await bots.data.list({ tenant, owner: isAdmin(identity) ? owner : name })
    },

    'GET /api/bots/:id/data': ({ identity, params, query }) =>
      bots.data.get(ownerOf(identity, query), params.id),

    'GET /api/bots/:id/data/export': async ({ identity, params, query }, reply) => {
      const tar = await bots.data.export(ownerOf(identity, query), params.id)
      // A client that reads nothing for so long would keep the runner busy.
      reply.raw.setTimeout(limits.slowReaderMs, () => reply.raw.destroy())
      reply
        .header('cache-control', 'no-store')
        .header('content-disposition', `attachment; filename="${params.id}.tar"`)
        .type('application/x-tar')
      return reply.send(tar as unknown as string)
    },

    'DELETE /api/bots/:id/data': async ({ identity, params, query: { force, ...query } }) => {
      await bots.removeData(ownerOf(identity, query), params.id, { force, by: identity.user.name })
    },

    'PUT /api/runner-answers/:id': async ({ runnerTenant, params, body }) => {
      if (typeof (body as Readable | undefined)?.pipe !== 'function')
        throw new ErrandError('unsupported_media_type', 'The answer must be sent as raw bytes.', {
          hint: 'Send it as application/x-tar.',
        })
      await bots.data.take(runnerTenant, params.id, body as Readable)
    },
  } satisfies Partial<Handlers>
}
