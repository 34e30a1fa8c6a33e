import { setTimeout as sleep } from 'node:timers/promises'
import type { Identity } from '../auth/auth.ts'
import type { ChangedRun } from '../page/run-changes.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin } from './http/access.ts'
import { sendEventStream } from './http/event-stream.ts'
import type { Handlers } from './http/routes.ts'

/** A run comes no more often than this. */
const PACE_MS = 100

/** The rows of a list of runs, as they change. */
export function eventHandlers(context: ApiContext) {
  const { changes, streams } = context
  return {
    'GET /api/events': async (request, reply) => {
      const { query, headers } = request
      await streams.turn(request.identity.user.id)
      // Another role or tenant is another reader's: the stream shows what its user may see at each moment.
      let identity = request.identity
      const about = {
        what: 'events',
        goOn: 'Go on with Last-Event-ID.',
        allow: async (now: Identity) => {
          identity = now
        },
      } as const
      await sendEventStream(context, request, reply, about, async (paced) => {
        const { gone } = paced
        const begin = changes.placeOf(headers['last-event-id'] ?? query.after)
        let { place } = begin
        const write = async (event: string, data: string, next: number) => {
          await paced.write(`id: ${changes.cursorOf(next)}\nevent: ${event}\ndata: ${data}\n\n`)
        }
        await write(begin.reset ? 'reset' : 'start', '{}', place)
        while (!gone.aborted) {
          await changes.more(place, gone)
          const found = changes.after(place)
          if (found === undefined) {
            place = changes.placeOf('').place
            await write('reset', '{}', place)
            continue
          }
          for (const { runId, next } of found) {
            const row = await changes.row(runId)
            if (gone.aborted) return
            if (row !== undefined && maySee(identity, row)) await write('run', row.json, next)
            else if (row?.tenant === identity.user.tenant && row.asks(identity.user))
              await write('asks', row.json, next)
            place = next
          }
          await sleep(PACE_MS, undefined, { signal: gone }).catch(() => {})
        }
      })
    },
  } satisfies Partial<Handlers>
}

const maySee = (identity: Identity, { tenant, owner }: ChangedRun): boolean =>
  tenant === identity.user.tenant && (isAdmin(identity) || owner === identity.user.name)
