import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { OutputPath } from '../../contract/event-api.ts'
import type { RunView } from '../../contract/run.ts'
import { visibleRun } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { readRange } from './byte-range.ts'

/** Most bytes that are held for a reader. */
const CHUNK_BYTES = 64 * 1024

export function runOutputRoutes(app: ApiApp, { engine, streams, log }: ApiContext): void {
  app.get(
    '/api/runs/:id/attempts/:number/output/:stream',
    {
      config: { queryToken: true },
      exposeHeadRoute: true,
      schema: {
        tags: ['runs'],
        summary: 'The bytes of an output, whole or by range, as far as they are there',
        params: OutputPath,
        querystring: z.object({ access_token: z.string().optional() }),
        headers: z.object({
          range: z.string().optional().describe('`bytes=0-99`, `bytes=100-` or `bytes=-100`'),
        }),
        response: {
          200: { description: 'The whole', content: { 'text/plain': { schema: z.string() } } },
          206: { description: 'The range', content: { 'text/plain': { schema: z.string() } } },
        },
      },
    },
    async ({ identity, params, headers, method }, reply) => {
      const { id, number, stream } = params
      const onlyHead = method === 'HEAD'
      await visibleRun(engine, identity, id)
      const length = await engine.outputLength(id, number, stream)
      if (length === 0 && !hasAttempt(await engine.view(id), number))
        throw new ErrandError('not_found', `The run "${id}" has no attempt ${number}.`, {
          hint: 'GET /api/runs/:id names the attempts of each step.',
        })
      const range = onlyHead ? undefined : readRange(headers.range, length)
      if (range === 'unsatisfiable') {
        reply.header('content-range', `bytes */${length}`)
        throw new ErrandError(
          'range_not_satisfiable',
          `The output has ${length} bytes; "${headers.range}" is past them.`,
          {
            hint: 'Ask again when there is more.',
            details: { length },
          },
        )
      }
      const { start, end } = range ?? { start: 0, end: length }
      const user = identity.user.id
      if (!onlyHead) streams.admit(user)
      reply.hijack()
      reply.raw.writeHead(range === undefined ? 200 : 206, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': 'text/plain; charset=utf-8',
        'content-length': end - start,
        'accept-ranges': 'bytes',
        'cache-control': 'no-store',
        ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${length}` }),
      })
      if (onlyHead) return void reply.raw.end()
      const read = async (from: number, to: number) => {
        using _turn = await streams.turns.take(user)
        return await engine.output(id, number, stream, from, to)
      }
      const paced = streams.open(reply.raw, user)
      try {
        for (let at = start; at < end && !paced.gone.aborted; ) {
          const bytes = await read(at, Math.min(end, at + CHUNK_BYTES))
          if (bytes.length === 0) throw new Error(`the output ends at ${at} of ${end} bytes`)
          at += bytes.length
          await paced.write(bytes)
        }
        paced.end()
      } catch (error) {
        log(`output of ${id} attempt ${number} broke off: ${(error as Error).message}`, {
          level: 'error',
          run_id: id,
        })
        paced.destroy()
      }
    },
  )
}

const hasAttempt = (view: RunView, number: number): boolean =>
  view.steps.some(({ instances }) =>
    instances.some(({ attempts }) => attempts.some((attempt) => attempt.number === number)),
  )
