import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../../contract/errors.ts'
import type { StreamStart } from '../../../contract/run-api.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ChangedRun } from '../../page/run-changes.ts'
import type { ApiContext } from '../api-context.ts'
import { isAdmin } from '../http/access.ts'
import { sendEventStream } from '../http/event-stream.ts'
import type { Handlers } from '../http/routes.ts'
import { EventTopics, readTopic } from './event-topics.ts'

/** A run comes no more often than this. */
const PACE_MS = 100

/** The rows of a list of runs as they change, and the logs of single runs, in one stream. */
export function eventHandlers(context: ApiContext) {
  const { changes, streams, version } = context
  const open = new Map<string, EventTopics>()

  return {
    'GET /api/events': async (request, reply) => {
      const { query, headers, identity } = request
      await streams.turn(identity.user.id)
      let topics: EventTopics | undefined
      // Another role or tenant is another reader's: the stream shows what its user may see at each moment.
      const about = {
        what: 'events',
        goOn: 'Go on with Last-Event-ID.',
        allow: async (now: Identity) => await topics?.recheck(now),
      } as const
      await sendEventStream(context, request, reply, about, async (paced) => {
        const { gone } = paced
        const wanted = query.topics.map(readTopic)
        const mine = new EventTopics(context, { identity, paced, hasRuns: wanted.includes('runs') })
        topics = mine
        open.set(mine.id, mine)
        try {
          const begin = changes.placeOf(headers['last-event-id'] ?? query.after)
          let { place } = begin
          const write = (event: string, data: string, next: number) =>
            mine.write(`id: ${changes.cursorOf(next)}\nevent: ${event}\ndata: ${data}\n\n`)
          const start: StreamStart = { stream: mine.id, version, now: new Date().toISOString() }
          await write('start', JSON.stringify(start), place)
          if (begin.reset) await write('reset', '{}', place)
          await mine.begin(wanted.filter((topic) => topic !== 'runs'))
          while (!gone.aborted) {
            await changes.more(place, gone)
            const found = changes.after(place)
            if (found === undefined) {
              place = changes.placeOf('').place
              await write('reset', '{}', place)
              continue
            }
            for (const { runId, next } of found) {
              const row = mine.hasRuns ? await changes.row(runId) : undefined
              if (gone.aborted) return
              const { user } = mine.identity
              if (row !== undefined && maySee(mine.identity, row)) await write('run', row.json, next)
              else if (row?.tenant === user.tenant && row.asks(user)) await write('asks', row.json, next)
              place = next
            }
            await sleep(PACE_MS, undefined, { signal: gone }).catch(() => {})
          }
        } finally {
          open.delete(mine.id)
        }
      })
    },

    'POST /api/events/:id': async ({ identity, params, body }) => {
      const found = open.get(params.id)
      if (found === undefined || found.identity.user.id !== identity.user.id)
        throw new ErrandError('not_found', `There is no open stream "${params.id}".`, {
          hint: 'GET /api/events opens one; its first message names it.',
        })
      await found.change(body.add, body.drop)
      return { topics: found.topics }
    },
  } satisfies Partial<Handlers>
}

const maySee = (identity: Identity, { tenant, owner }: ChangedRun): boolean =>
  tenant === identity.user.tenant && (isAdmin(identity) || owner === identity.user.name)
