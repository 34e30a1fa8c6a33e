import { StringDecoder } from 'node:string_decoder'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { StreamName } from '../../../contract/attempt.ts'
import type { EventOf, RunEvent } from '../../../contract/events.ts'
import type { RunRecord } from '../../../contract/run.ts'
import { isFinalRun } from '../../../contract/status.ts'
import type { EngineFace } from '../../../engine/api.ts'
import type { FairSemaphore } from '../../../platform/fair-semaphore.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ApiContext } from '../api-context.ts'
import { readableRun } from '../http/access.ts'
import { openStream, sendEventStream } from '../http/event-stream.ts'
import type { PacedResponse } from '../http/paced-response.ts'
import type { Handlers } from '../http/routes.ts'

export function runEventHandlers(context: ApiContext) {
  return {
    'GET /api/runs/:id/events': async (request, reply) => {
      await context.streams.turn(request.identity.user.id)
      const record = await readableRun(context.engine, request.identity, request.params.id)
      const lastId = request.headers['last-event-id']
      const after = lastId ? Number(lastId) : (request.query.after ?? 0)
      const accept = request.raw.headers.accept ?? ''
      if (accept.includes('application/json') && !accept.includes('text/event-stream'))
        return await sendList(context, request, reply, {
          record,
          after,
          outputBytes: request.query.output_bytes,
          limit: request.query.limit,
          attempt: request.query.attempt,
        })
      // An EventSource reconnects to an ended stream until this answer tells it to stop.
      if (lastId && isFinalRun(record.status) && after >= record.last_seq)
        return await (reply as FastifyReply).code(204).send()
      await sendStream(context, request, reply, { record, after, outputBytes: request.query.output_bytes })
    },
  } satisfies Partial<Handlers>
}

interface StreamRequest {
  record: RunRecord
  after: number
  outputBytes?: number
}

function sendStream(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { record, after, outputBytes }: StreamRequest,
): Promise<void> {
  const { engine, metrics } = context
  const about = {
    what: 'events',
    runId: record.run_id,
    goOn: 'Reconnect with Last-Event-ID.',
    allow: (identity: Identity) => readableRun(engine, identity, record.run_id),
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

/** Sends the present events, written one by one because their outputs may be large. */
async function sendList(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { record, after, outputBytes, limit, attempt }: StreamRequest & { limit: number; attempt?: number },
): Promise<void> {
  const paced = openStream(context, request, reply, 'application/json; charset=utf-8')
  const texts = eventText(context, request, record, outputBytes)
  const last = attempt === undefined ? Math.min(record.last_seq, after + limit) : record.last_seq
  let lead = '['
  let sent = 0
  try {
    if (after < last)
      for await (const event of context.engine.watch(record.run_id, after, paced.gone, WITHOUT_TEXT)) {
        if (attempt === undefined || ('attempt' in event && event.attempt === attempt)) {
          await sendPieces(paced, texts.json(event, lead, ''))
          lead = ','
          sent++
        }
        if (event.seq >= last || sent >= limit || paced.gone.aborted) break
      }
    paced.end(lead === '[' ? '[]' : ']')
  } catch (error) {
    if (paced.gone.aborted) return
    context.log(`sending the events of ${record.run_id} failed: ${(error as Error).stack}`, {
      level: 'error',
      run_id: record.run_id,
    })
    paced.destroy()
  }
}

/** Reads events as the log has them. The texts are read piece by piece, at the reader's pace. */
const WITHOUT_TEXT = { outputBytes: 0 }

const eventText = (
  { engine, streams: { semaphore } }: ApiContext,
  { identity }: FastifyRequest,
  { run_id: runId }: RunRecord,
  outputBytes?: number,
): EventText => new EventText({ engine, semaphore, user: identity.user.id, runId, outputBytes })

async function sendPieces(paced: PacedResponse, pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of pieces) {
    const wait = paced.write(piece)
    if (wait !== undefined) await wait
    if (paced.gone.aborted) return
  }
}

/** Limits the bytes of an output that are buffered for a reader. */
const PIECE_BYTES = 32 * 1024
/** Cost of an event besides its text, in bytes of text. */
const EVENT_BYTES = 512
type Reads = Pick<EngineFace, 'output'>

/** Produces the events of a run as text for one reader, in pieces of limited size. Readers take turns. */
export class EventText {
  readonly #engine: Reads
  readonly #semaphore: FairSemaphore
  readonly #user: string
  readonly #runId: string
  readonly #outputBytes: number
  /** Bytes that may still be sent before another reader's turn. */
  #credit = 0

  /** `outputBytes` limits how many bytes of each stream of an attempt come as text. */
  constructor(of: {
    engine: Reads
    semaphore: FairSemaphore
    user: string
    runId: string
    outputBytes?: number
  }) {
    this.#engine = of.engine
    this.#semaphore = of.semaphore
    this.#user = of.user
    this.#runId = of.runId
    this.#outputBytes = of.outputBytes ?? Number.POSITIVE_INFINITY
  }

  /** Yields the event, whose text is missing so far, as JSON between the two texts. */
  async *json(event: RunEvent, before: string, after: string): AsyncGenerator<string> {
    if (event.type !== 'output' || event.offset >= this.#outputBytes) {
      const text = JSON.stringify(event)
      this.#credit -= EVENT_BYTES + text.length
      if (this.#credit < 0) (await this.#turn())[Symbol.dispose]()
      yield before + text + after
      return
    }
    const head = before + JSON.stringify({ ...event, text: '' }).slice(0, -2)
    const tail = `"}${after}`
    let lead = head
    let missing = 0
    for await (const piece of this.#pieces(event)) {
      missing = piece.missing
      const isWhole = piece.isLast && missing === 0
      yield lead + JSON.stringify(piece.text).slice(1, -1) + (isWhole ? tail : '')
      lead = ''
      if (isWhole) return
    }
    yield `${lead}","missing":${missing}}${after}`
  }

  /** Yields the text of an output event. No piece cuts a character in two. */
  async *output(event: EventOf<'output'>): AsyncGenerator<string> {
    for await (const { text } of this.#pieces(event)) yield text
  }

  async *#pieces({ attempt, stream, offset, length }: EventOf<'output'>) {
    const end = Math.min(offset + length, this.#outputBytes)
    const decoder = new StringDecoder('utf8')
    for (let at = offset; at < end; ) {
      const bytes = await this.#read(attempt, stream, at, Math.min(end, at + PIECE_BYTES))
      at += bytes.length
      const missing = bytes.length === 0 ? end - at : 0
      const isLast = at >= end || missing > 0
      yield { text: decoder.write(bytes) + (isLast ? decoder.end() : ''), isLast, missing }
      if (isLast) return
    }
  }

  async #read(number: number, stream: StreamName, start: number, end: number): Promise<Buffer> {
    using _turn = await this.#turn()
    return await this.#engine.output(this.#runId, number, stream, start, end)
  }

  async #turn(): Promise<Disposable> {
    const turn = await this.#semaphore.acquire(this.#user)
    this.#credit = PIECE_BYTES
    return turn
  }
}
