import { once } from 'node:events'
import { ErrandError } from '../../../contract/errors.ts'
import type { StreamStart } from '../../../contract/run-api.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ApiContext } from '../api-context.ts'
import { sendEventStream } from '../http/event-stream.ts'
import type { Handlers } from '../http/routes.ts'
import { EventTopics } from './event-topics.ts'
import { RunnerLists } from './runner-lists.ts'

/** Serves changed rows of lists and the logs of single runs in one stream. */
export function eventHandlers(context: ApiContext) {
  const { streams, version } = context
  const runners = new RunnerLists(context.runners, context.pools)
  const open = new Map<string, EventTopics>()

  return {
    'GET /api/events': async (request, reply) => {
      const { query, headers, identity } = request
      await streams.turn(identity.user.id)
      let topics: EventTopics | undefined
      // A user with another role or tenant counts as another reader: the stream always shows what its user may see.
      const about = {
        what: 'events',
        goOn: 'Reconnect with Last-Event-ID.',
        allow: async (now: Identity) => await topics?.recheck(now),
      } as const
      await sendEventStream(context, request, reply, about, async (paced) => {
        const { gone } = paced
        const mine = new EventTopics(context, { identity, paced, runners })
        topics = mine
        open.set(mine.id, mine)
        try {
          const start: StreamStart = { stream: mine.id, version, now: new Date().toISOString() }
          await mine.begin(query.topics, headers['last-event-id'] ?? query.after, JSON.stringify(start))
          if (!gone.aborted) await once(gone, 'abort')
        } finally {
          open.delete(mine.id)
        }
      })
    },

    'POST /api/events/:id': async ({ identity, params, body }) => {
      const found = open.get(params.id)
      if (found === undefined || found.identity.user.id !== identity.user.id)
        throw new ErrandError('not_found', `Open stream "${params.id}" not found.`, {
          hint: 'Open one with GET /api/events: its first message contains its id.',
        })
      await found.change(body.add, body.drop)
      return { topics: found.topics }
    },
  } satisfies Partial<Handlers>
}
