import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { Identity } from '../auth/auth.ts'
import { visibleRun } from './access.ts'
import type { ApiContext } from './api-context.ts'
import { openStream, sendEventStream } from './event-stream.ts'
import { EventText } from './event-text.ts'
import type { PacedResponse } from './paced-response.ts'
import type { Handlers } from './routes.ts'

export function runEventHandlers(context: ApiContext) {
  return {
    'GET /api/runs/:id/events': async (request, reply) => {
      await context.streams.turn(request.identity.user.id)
      const record = await visibleRun(context.engine, request.identity, request.params.id)
      const lastId = request.headers['last-event-id']
      const after = lastId ? Number(lastId) : (request.query.after ?? 0)
      const accept = request.raw.headers.accept ?? ''
      if (accept.includes('application/json') && !accept.includes('text/event-stream'))
        return await sendList(context, request, reply, {
          record,
          after,
          outputBytes: request.query.output_bytes,
          limit: request.query.limit,
        })
      // An EventSource comes back to a stream that has ended until it is told so in this way.
      if (lastId && isFinalRun(record.status) && after >= record.last_seq)
        return await (reply as FastifyReply).code(204).send()
      await sendStream(context, request, reply, { record, after, outputBytes: request.query.output_bytes })
    },
  } satisfies Partial<Handlers>
}

interface Wanted {
  record: RunRecord
  after: number
  outputBytes?: number
}

function sendStream(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { record, after, outputBytes }: Wanted,
): Promise<void> {
  const { engine, metrics } = context
  const about = {
    what: 'events',
    runId: record.run_id,
    goOn: 'Go on with Last-Event-ID.',
    allow: (identity: Identity) => visibleRun(engine, identity, record.run_id),
  } as const
  return sendEventStream(context, request, reply, about, async (paced) => {
    const left = metrics.reader(after > 0)
    const texts = eventText(context, request, record, outputBytes)
    try {
      for await (const event of engine.watch(record.run_id, after, paced.gone, WITHOUT_TEXT)) {
        await sendPieces(paced, texts.json(event, `id: ${event.seq}\nevent: ${event.type}\ndata: `, '\n\n'))
        if (paced.gone.aborted) break
      }
      paced.end()
    } finally {
      left()
    }
  })
}

/** The events there are now; written one by one, as their outputs may be large. */
async function sendList(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { record, after, outputBytes, limit }: Wanted & { limit: number },
): Promise<void> {
  const paced = openStream(context, request, reply, 'application/json; charset=utf-8')
  const texts = eventText(context, request, record, outputBytes)
  const last = Math.min(record.last_seq, after + limit)
  let lead = '['
  try {
    if (after < last)
      for await (const event of context.engine.watch(record.run_id, after, paced.gone, WITHOUT_TEXT)) {
        await sendPieces(paced, texts.json(event, lead, ''))
        lead = ','
        if (event.seq >= last || paced.gone.aborted) break
      }
    paced.end(lead === '[' ? '[]' : ']')
  } catch (error) {
    if (paced.gone.aborted) return
    context.log(`events of ${record.run_id} broke off: ${(error as Error).stack}`, {
      level: 'error',
      run_id: record.run_id,
    })
    paced.destroy()
  }
}

/** What the log has: the texts are read piece by piece, as the reader takes them. */
const WITHOUT_TEXT = { outputBytes: 0 }

const eventText = (
  { engine, streams: { turns } }: ApiContext,
  { identity }: FastifyRequest,
  { run_id: runId }: RunRecord,
  outputBytes?: number,
): EventText => new EventText({ engine, turns, user: identity.user.id, runId, outputBytes })

async function sendPieces(paced: PacedResponse, pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of pieces) {
    const wait = paced.write(piece)
    if (wait !== undefined) await wait
    if (paced.gone.aborted) return
  }
}
