import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../../contract/errors.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ApiContext } from '../api-context.ts'
import { sendEventStream } from '../http/event-stream.ts'
import type { Handlers } from '../http/routes.ts'
import { askerOf, summaryOf } from '../tasks.ts'

/** A task comes no more often than this. */
const PACE_MS = 200

/** The rows of a list of tasks, as they change. */
export function taskChangeHandlers(context: ApiContext) {
  const { taskChanges, tasks, streams } = context
  return {
    'GET /api/task-changes': async (request, reply) => {
      await streams.turn(request.identity.user.id)
      // Another role or tenant is another reader's: the stream shows what its user may see at each moment.
      let identity = request.identity
      const about = {
        what: 'events',
        goOn: 'Read the list again, and follow it anew.',
        allow: async (now: Identity) => {
          identity = now
        },
      } as const
      await sendEventStream(context, request, reply, about, async (paced) => {
        const { gone } = paced
        const reader = taskChanges.read()
        try {
          await paced.write('event: start\ndata: {}\n\n')
          while (!gone.aborted) {
            const ids = await reader.next(gone)
            if (ids === undefined) await paced.write('event: reset\ndata: {}\n\n')
            for (const id of ids ?? []) {
              const task = await tasks.get({ by: askerOf(identity), ref: id }).catch(orNone)
              if (gone.aborted) return
              if (task !== undefined)
                await paced.write(`event: task\ndata: ${JSON.stringify(summaryOf(task))}\n\n`)
            }
            await sleep(PACE_MS, undefined, { signal: gone }).catch(() => {})
          }
        } finally {
          reader.close()
        }
      })
    },
  } satisfies Partial<Handlers>
}

/** Another's task, and one that is deleted, are not there. */
function orNone(error: unknown): undefined {
  if (error instanceof ErrandError && error.code === 'task_not_found') return undefined
  throw error
}
