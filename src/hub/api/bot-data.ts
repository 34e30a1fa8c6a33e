import type { Readable } from 'node:stream'
import * as z from 'zod'
import { BotQuery, ListBots } from '../../contract/bot-api.ts'
import { BotDataList, BotDataView, RemoveBotData } from '../../contract/bot-data.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { botParams, ownerOf } from './bots.ts'

const tags = ['bots']

export function botDataRoutes(app: ApiApp, { bots, limits }: ApiContext): void {
  app.get(
    '/api/bot-data',
    {
      schema: {
        tags,
        summary: 'Data of bots, also of those that have ended: yours; for an admin, all',
        querystring: ListBots.pick({ owner: true }),
        response: { 200: BotDataList },
      },
    },
    async ({ identity, query: { owner } }) => {
      const { name, tenant } = identity.user
      return await bots.data.list({ tenant, owner: isAdmin(identity) ? owner : name })
    },
  )

  app.get(
    '/api/bots/:id/data',
    {
      schema: {
        tags,
        summary: 'Where the data of a bot are, and how much there is',
        params: botParams,
        querystring: BotQuery,
        response: { 200: BotDataView },
      },
    },
    ({ identity, params, query }) => bots.data.get(ownerOf(identity, query), params.id),
  )

  app.get(
    '/api/bots/:id/data/export',
    {
      schema: {
        tags,
        summary: 'All that stands there, as a tar; one that is cut short ends with a broken connection',
        params: botParams,
        querystring: BotQuery,
        response: {
          200: { description: 'The tar', content: { 'application/x-tar': { schema: z.string() } } },
        },
      },
    },
    async ({ identity, params, query }, reply) => {
      const tar = await bots.data.export(ownerOf(identity, query), params.id)
      // Who reads nothing for so long would keep the runner at it.
      reply.raw.setTimeout(limits.slowReaderMs, () => reply.raw.destroy())
      reply
        .header('cache-control', 'no-store')
        .header('content-disposition', `attachment; filename="${params.id}.tar"`)
        .type('application/x-tar')
      return reply.send(tar as unknown as string)
    },
  )

  app.delete(
    '/api/bots/:id/data',
    {
      schema: {
        tags,
        summary: 'Remove the data of a bot that has ended, for good',
        params: botParams,
        querystring: RemoveBotData,
        response: { 204: z.undefined() },
      },
    },
    async ({ identity, params, query: { force, ...query } }, reply) => {
      await bots.removeData(ownerOf(identity, query), params.id, { force, by: identity.user.name })
      return reply.code(204).send(undefined)
    },
  )

  app.put(
    '/api/runner-answers/:id',
    {
      config: { runner: true, archive: true, endless: true },
      schema: {
        tags: ['runners'],
        summary: 'What the hub has asked a runner for, for runners',
        params: z.object({ id: z.uuid() }),
        response: { 204: z.undefined() },
      },
    },
    async ({ runnerTenant, params, body }, reply) => {
      if (typeof (body as Readable | undefined)?.pipe !== 'function')
        throw new ErrandError('unsupported_media_type', 'An answer is sent as it is.', {
          hint: 'Send it as application/x-tar.',
        })
      await bots.data.take(runnerTenant, params.id, body as Readable)
      return reply.code(204).send(undefined)
    },
  )
}
