import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiContext } from '../api-context.ts'
import { sendEventStream } from '../http/event-stream.ts'
import type { Handlers } from '../http/routes.ts'

/** The list comes no more often than this. */
const PACE_MS = 250

/** Tells readers that something about the runners has changed. Nothing is kept for them. */
class FleetBell {
  #rung = 0
  #waiting = Promise.withResolvers<void>()

  ring(): void {
    this.#rung++
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers()
  }

  get rung(): number {
    return this.#rung
  }

  /** Resolves when it was rung after `since`, or with the signal. */
  async more(since: number, signal: AbortSignal): Promise<void> {
    if (since < this.#rung || signal.aborted) return
    const gone = Promise.withResolvers<void>()
    const leave = () => gone.resolve()
    signal.addEventListener('abort', leave, { once: true })
    await Promise.race([this.#waiting.promise, gone.promise])
    signal.removeEventListener('abort', leave)
  }
}

/** The runners, as they come, go and are given work. */
export function runnerEventHandlers(context: ApiContext) {
  const { runners, streams } = context
  const bell = new FleetBell()
  runners.onChanged?.(() => bell.ring())
  return {
    'GET /api/runner-events': async (request, reply) => {
      await streams.turn(request.identity.user.id)
      let { tenant } = request.identity.user
      const about = {
        what: 'events',
        goOn: 'Ask again.',
        allow: async ({ user }: typeof request.identity) => {
          tenant = user.tenant
        },
      } as const
      await sendEventStream(context, request, reply, about, async (paced) => {
        const { gone } = paced
        let told = ''
        while (!gone.aborted) {
          const { rung } = bell
          const text = JSON.stringify(await runners.list(tenant))
          if (text !== told) await paced.write(`event: runners\ndata: ${text}\n\n`)
          told = text
          await sleep(PACE_MS, undefined, { signal: gone }).catch(() => {})
          await bell.more(rung, gone)
        }
      })
    },
  } satisfies Partial<Handlers>
}
