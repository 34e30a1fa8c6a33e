import * as z from 'zod'
import { BotId } from '../../contract/bot.ts'
import {
  BotList,
  BotQuery,
  BotStarted,
  BotState,
  BotView,
  ListBots,
  StartBot,
  UpdateBot,
} from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Identity } from '../auth/auth.ts'
import type { BotOwner } from '../bots/bot-owner.ts'
import { isAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['bots']
export const botParams = z.object({ id: BotId.check(z.describe('The bot')) })
/** Source texts and archives are larger than other bodies. */
const BODY_BYTES = 8 * 1024 * 1024

export function botRoutes(app: ApiApp, { bots }: ApiContext): void {
  app.post(
    '/api/bots',
    {
      bodyLimit: BODY_BYTES,
      schema: { tags, summary: 'Start a bot', body: StartBot, response: { 201: BotStarted } },
    },
    async ({ identity, body }, reply) => {
      const bot = await bots.start(ownerOf(identity), body)
      reply.code(201).header('location', `/api/bots/${bot.bot_id}`)
      return bot
    },
  )

  app.get(
    '/api/bots',
    {
      schema: {
        tags,
        summary: 'Bots, newest first: yours; for an admin, all',
        querystring: ListBots,
        response: { 200: BotList },
      },
    },
    async ({ identity, query }) => {
      const { user } = identity
      const { state, owner, all } = query
      if (!isAdmin(identity) && owner !== undefined && owner !== user.name) return { bots: [] }
      const wanted = state === undefined ? undefined : states(state)
      const of = { tenant: user.tenant, owner: isAdmin(identity) ? owner : user.name }
      const found = await bots.list(of, { ended: all || wanted !== undefined })
      return { bots: wanted === undefined ? found : found.filter((bot) => wanted.includes(bot.state)) }
    },
  )

  app.get(
    '/api/bots/:id',
    {
      schema: {
        tags,
        summary: 'A bot',
        params: botParams,
        querystring: BotQuery,
        response: { 200: BotView },
      },
    },
    ({ identity, params, query }) => bots.status(ownerOf(identity, query), params.id),
  )

  app.post(
    '/api/bots/:id/stop',
    {
      schema: {
        tags,
        summary: 'Stop a bot; one that has ended stays as it is',
        params: botParams,
        querystring: BotQuery,
        body: z.strictObject({}).prefault({}),
        response: { 202: BotView },
      },
    },
    async ({ identity, params, query }, reply) =>
      reply.code(202).send(await bots.stop(ownerOf(identity, query), params.id, identity.user.name)),
  )

  app.post(
    '/api/bots/:id/restart',
    {
      schema: {
        tags,
        summary: 'Stop a bot, then start it as it was',
        params: botParams,
        querystring: BotQuery,
        body: z.strictObject({}).prefault({}),
        response: { 202: BotStarted },
      },
    },
    async ({ identity, params, query }, reply) =>
      reply.code(202).send(await bots.restart(ownerOf(identity, query), params.id)),
  )

  app.post(
    '/api/bots/:id/update',
    {
      bodyLimit: BODY_BYTES,
      schema: {
        tags,
        summary: 'Start the bot as it is to be, and stop the present one when the new one is up',
        params: botParams,
        querystring: BotQuery,
        body: UpdateBot.prefault({}),
        response: { 202: BotStarted },
      },
    },
    async ({ identity, params, query, body }, reply) =>
      reply.code(202).send(await bots.update(ownerOf(identity, query), params.id, body)),
  )
}

/** The caller's own, or, for an admin who says so, those of another. Who may not see them finds none. */
export function ownerOf(identity: Identity, { owner }: BotQuery = {}): BotOwner {
  const { name, tenant } = identity.user
  if (owner === undefined || owner === name) return { owner: name, tenant }
  // No user has this name.
  return { owner: isAdmin(identity) ? owner : '', tenant }
}

function states(text: string): BotState[] {
  return text.split(',').map((each) => {
    const state = BotState.safeParse(each.trim())
    if (state.success) return state.data
    throw new ErrandError('bad_request', `query.state: "${each}" is no state of a bot.`, {
      hint: `One or several of ${BotState.options.join(', ')}.`,
    })
  })
}
