import { type BotQuery, BotState } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Identity } from '../auth/auth.ts'
import type { BotOwner } from '../bots/bot-admission.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

export function botHandlers({ bots }: ApiContext) {
  return {
    'POST /api/bots': async ({ identity, body }, reply) => {
      const bot = await bots.start(ownerOf(identity), body)
      reply.header('location', `/api/bots/${bot.bot_id}`)
      return bot
    },

    'GET /api/bots': async ({ identity, query }) => {
      const { user } = identity
      const { state, owner, all } = query
      if (!isAdmin(identity) && owner !== undefined && owner !== user.name) return { bots: [] }
      const requestedStates = state === undefined ? undefined : states(state)
      const of = { tenant: user.tenant, owner: isAdmin(identity) ? owner : user.name }
      const found = await bots.list(of, { ended: all || requestedStates !== undefined })
      return {
        bots:
          requestedStates === undefined ? found : found.filter((bot) => requestedStates.includes(bot.state)),
      }
    },

    'GET /api/bots/:id': ({ identity, params, query }) => bots.status(ownerOf(identity, query), params.id),

    'POST /api/bots/:id/stop': async ({ identity, params, query }) =>
      await bots.stop(ownerOf(identity, query), params.id, identity.user.name),

    'POST /api/bots/:id/restart': async ({ identity, params, query }) =>
      await bots.restart(ownerOf(identity, query), params.id),

    'POST /api/bots/:id/update': async ({ identity, params, query, body }) =>
      await bots.update(ownerOf(identity, query), params.id, body),
  } satisfies Partial<Handlers>
}

/**
 * Returns whose bots are meant: the caller's own or, for an admin who asks, somebody else's. Others find none there.
 */
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
    throw new ErrandError('bad_request', `query.state: "${each}" is not a state of a bot.`, {
      hint: `Use one or more of ${BotState.options.join(', ')}.`,
    })
  })
}
