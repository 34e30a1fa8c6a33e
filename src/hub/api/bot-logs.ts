import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LogLine } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { StreamLines } from '../../platform/text.ts'
import type { Identity } from '../auth/auth.ts'
import { type LogSelection, logTail, selects } from '../bots/log-tail.ts'
import type { ApiContext } from './api-context.ts'
import { ownerOf } from './bots.ts'
import { visibleRun } from './http/access.ts'
import { sendEventStream } from './http/event-stream.ts'
import type { Handlers } from './http/routes.ts'
import { EventText } from './streams/run-events.ts'

export function botLogHandlers(context: ApiContext) {
  const { bots, engine } = context
  return {
    'GET /api/bots/:id/logs': async (request, reply) => {
      const { id } = request.params
      const { owner, follow, tail, search, since, stream } = request.query
      const of = ownerOf(request.identity, { owner })
      const run = await bots.run(of, id)
      const filter = { tail, search, stream, sinceMs: since === undefined ? undefined : moment(since) }
      if (follow) return void (await sendLines(context, request, reply, run, filter))
      const found = await logTail(engine, run, run.last_seq, filter)
      return { bot_id: id, run_id: run.run_id, ...found, seq: run.last_seq }
    },
  } satisfies Partial<Handlers>
}

async function sendLines(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  run: RunRecord,
  filter: LogSelection,
): Promise<void> {
  const { engine, streams } = context
  const { run_id, last_seq } = run
  const before = await logTail(engine, run, last_seq, filter)
  // The searched text may be in the rest of a line that has not ended.
  const newest = await logTail(engine, run, last_seq, { tail: filter.tail })
  const isSelected = selects(filter)
  const lines = new StreamLines<LogLine['stream']>()
  const about = {
    what: 'log',
    runId: run_id,
    goOn: 'Read the log again.',
    allow: (identity: Identity) => visibleRun(engine, identity, run_id),
  } as const
  await sendEventStream(context, request, reply, about, async (paced) => {
    const send = async (line: LogLine) => {
      if (isSelected(line)) await paced.write(`event: line\ndata: ${JSON.stringify(line)}\n\n`)
    }
    for (const line of before.lines) if (!line.open) await send(line)
    for (const { open, stream, text } of newest.lines) if (open) lines.push(stream, text)
    let time = run.created_at
    const user = request.identity.user.id
    const texts = new EventText({ engine, semaphore: streams.semaphore, user, runId: run_id })
    for await (const event of engine.watch(run_id, last_seq, paced.gone, { outputBytes: 0 })) {
      time = event.time
      if (event.type === 'output')
        for await (const piece of texts.output(event))
          for (const text of lines.push(event.stream, piece)) await send({ time, stream: event.stream, text })
      if (paced.gone.aborted) return
    }
    for (const [stream, text] of lines.rest()) await send({ time, stream, text })
    const { status, reason, message } = (await engine.get(run_id)) ?? run
    paced.end(`event: end\ndata: ${JSON.stringify({ run_id, status, reason, message })}\n\n`)
  })
}

function moment(text: string): number {
  const ms = Date.parse(text)
  if (!Number.isNaN(ms)) return ms
  throw new ErrandError('bad_request', `query.since: "${text}" is not a valid time.`, {
    hint: 'Write it as 2026-01-31T10:00:00Z.',
  })
}
