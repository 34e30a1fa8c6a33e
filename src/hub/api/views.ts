import { isDeepStrictEqual } from 'node:util'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { MOST_VIEWS, type SavedView } from '../../contract/runs/saved-views.ts'
import { runSummary } from '../../engine/core/view.ts'
import type { View } from '../../stores/sqlite/personal.ts'
import type { Identity } from '../auth/auth.ts'
import { newId } from '../auth/tokens.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

const mayChange = (identity: Identity, { user_id }: View): boolean =>
  user_id === identity.user.id || isAdmin(identity)

const shown = (identity: Identity, view: View): SavedView => {
  const { user_id: _, tenant: __, ...rest } = view
  return { ...rest, may_change: mayChange(identity, view) }
}

export function viewHandlers({ personal }: ApiContext) {
  /** Returns a view that the user may see. Throws if there is none. */
  const seen = async (identity: Identity, id: string): Promise<View> => {
    const view = await personal.view(id)
    const { user } = identity
    if (view?.tenant === user.tenant && (view.shared || view.user_id === user.id)) return view
    throw new ErrandError('not_found', `View "${id}" not found.`, {
      hint: 'List views with: errand views list',
    })
  }

  const changeable = async (identity: Identity, id: string): Promise<View> => {
    const view = await seen(identity, id)
    if (mayChange(identity, view)) return view
    throw new ErrandError('forbidden', `The view "${view.name}" belongs to ${view.owner}, who shares it.`, {
      hint: `Ask ${view.owner} or an admin to do it, or save a view of your own.`,
    })
  }

  const keep = async (view: View): Promise<void> => {
    const { owner: _, ...shown } = view
    if (await personal.keepView(shown)) return
    const whose = view.shared ? 'A shared view' : 'A view'
    throw new ErrandError('conflict', `${whose} with the name "${view.name}" already exists.`, {
      hint: 'Choose another name, or delete that view first. List views with: errand views list',
    })
  }

  return {
    'GET /api/views': async ({ identity, query }) => {
      const views = await personal.views(identity.user)
      const matching = views.filter(({ shared }) => query.shared === undefined || query.shared === shared)
      return { views: matching.map((view) => shown(identity, view)) }
    },

    'POST /api/views': async ({ identity, body }, reply) => {
      const { user } = identity
      const own = (await personal.views(user)).filter(({ user_id }) => user_id === user.id)
      // The same request again: the answer to the first was lost.
      const same = own.find(
        ({ name, shared, filter }) =>
          name === body.name && shared === body.shared && isDeepStrictEqual(filter, { ...body.filter }),
      )
      if (same !== undefined) {
        reply.code(200)
        return shown(identity, same)
      }
      if (own.length >= MOST_VIEWS)
        throw new ErrandError(
          'quota_exceeded',
          `You already have ${MOST_VIEWS} views, which is the maximum.`,
          {
            hint: 'Delete one first. List views with: errand views list',
          },
        )
      const view: View = {
        ...body,
        id: newId('view'),
        user_id: user.id,
        tenant: user.tenant,
        owner: user.name,
        created_at: new Date().toISOString(),
      }
      await keep(view)
      reply.code(201)
      return shown(identity, view)
    },

    'PATCH /api/views/:id': async ({ identity, params, body }) => {
      const view = { ...(await changeable(identity, params.id)), ...body }
      await keep(view)
      return shown(identity, view)
    },

    'DELETE /api/views/:id': async ({ identity, params }) => {
      await personal.dropView((await changeable(identity, params.id)).id)
    },
  } satisfies Partial<Handlers>
}

/** Serves the failures that a person has not looked at. */
export function seenHandlers({ personal, engine }: ApiContext) {
  return {
    'GET /api/me/failures': async ({ identity: { user }, query }) => {
      const ids = await personal.failures(user, query.limit + 1)
      const runs = await Promise.all(ids.slice(0, query.limit).map((id) => engine.get(id)))
      const there = runs.filter((run): run is RunRecord => run !== undefined)
      return { runs: there.map(runSummary), more: ids.length > query.limit }
    },

    'POST /api/me/seen': async ({ identity: { user }, body }) => {
      const { run_ids, until } = body
      if ((run_ids === undefined) === (until === undefined))
        throw new ErrandError('bad_request', 'body: exactly one of "run_ids" and "until" is needed.', {
          hint: 'For example: {"run_ids": ["run_0123"]}',
        })
      const now = new Date()
      if (run_ids !== undefined) return { since: await personal.markSeen(user, run_ids, now) }
      const time = new Date(until!)
      if (Number.isNaN(time.getTime()))
        throw new ErrandError('bad_request', `body.until: "${until}" is not a valid time.`, {
          hint: 'Write it as 2026-01-31T10:00:00Z.',
        })
      const upTo = time > now ? now : time
      return { since: await personal.markSeenUntil(user, upTo.toISOString()) }
    },
  } satisfies Partial<Handlers>
}
