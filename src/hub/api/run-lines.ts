import type { StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { type Line, MAX_LINES_BYTES } from '../../contract/run-api.ts'
import { FairSemaphore } from '../../platform/fair-semaphore.ts'
import type { Identity } from '../auth/auth.ts'
import type { ShownLine } from '../log-index/attempt-log.ts'
import { searchLines } from '../log-index/line-search.ts'
import type { ApiContext } from './api-context.ts'
import { readableRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'

/** Milliseconds that a request counts or searches the lines of a long log before it answers what it has. */
const COUNT_MS = 2_000
const SEARCH_MS = 1_000
/** Limits concurrent searches, each of which uses a thread. */
const SEARCHES_AT_ONCE = 2

export function runLineHandlers({ engine, lines: runLines, streams }: ApiContext) {
  const searches = new FairSemaphore(SEARCHES_AT_ONCE)
  const open = async (identity: Identity, { id, number }: { id: string; number: number }) => {
    const record = await readableRun(engine, identity, id)
    const read = async (stream: StreamName, start: number, end: number) => {
      using _turn = await streams.semaphore.acquire(identity.user.id)
      return await engine.output(id, number, stream, start, end)
    }
    const found = await runLines.of(record, number, { read, untilMs: performance.now() + COUNT_MS })
    if (found === undefined)
      throw new ErrandError('not_found', `Run "${id}" has no attempt ${number}.`, {
        hint: 'List the attempts of each step with: GET /api/runs/:id',
      })
    return { ...found, record, read }
  }

  const countedOf = async ({ id, number }: { id: string; number: number }, done_bytes: number) => {
    const stored = async (stream: StreamName) => await engine.outputLength(id, number, stream)
    return { done_bytes, of_bytes: (await stored('stdout')) + (await stored('stderr')) }
  }

  return {
    'GET /api/runs/:id/attempts/:number/lines': async ({ identity, params, query }) => {
      const { log, behind, record, read } = await open(identity, params)
      const { head, total } = log.index
      const { cut } = query
      const limit = Math.min(query.limit, Math.floor(MAX_LINES_BYTES / cut))
      const [from, to] =
        query.tail === undefined
          ? [query.from ?? 1, Math.min(query.to ?? total, (query.from ?? 1) + limit - 1)]
          : [Math.max(query.from ?? 1, total - Math.min(query.tail, limit) + 1), total]
      const reported = head.told.stdout + head.told.stderr
      const missing = await runLines.missing(record, params.number, log)
      // Requested together, so that all of it reflects one moment: the log may grow.
      const opening = log.open(cut, read)
      const facts = { total, ended: head.finished, bytes: reported, last_stderr: head.lastStderr }
      return {
        ...facts,
        lines: (await log.lines(from, to, cut, read)).map(lineView),
        open: (await opening).map(lineView),
        ...(behind && { behind: await countedOf(params, reported) }),
        ...(missing > 0 && { missing_bytes: missing }),
      }
    },

    'GET /api/runs/:id/attempts/:number/lines/stretches': async ({ identity, params, query }) => {
      const { log, behind } = await open(identity, params)
      const { head, total } = log.index
      return {
        ...log.index.stretches(query.stream, query.from, query.limit),
        total,
        ...(behind && { behind: await countedOf(params, head.told.stdout + head.told.stderr) }),
      }
    },

    'GET /api/runs/:id/attempts/:number/lines/search': async (request) => {
      const { identity, params, query } = request
      const { log, read } = await open(identity, params)
      const { total } = log.index
      const backward = query.direction === 'backward'
      using _turn = await searches.acquire(identity.user.id)
      const { hits, next } = await searchLines(log, {
        pattern: { text: query.q, re: query.re, case: query.case },
        from: query.cursor ?? (backward ? total : 1),
        backward,
        most: query.limit,
        untilMs: performance.now() + SEARCH_MS,
        read,
      })
      return {
        total,
        hits: hits.map(({ timeMs, textFrom, ...hit }) => ({
          ...hit,
          time: new Date(timeMs).toISOString(),
          ...(textFrom > 0 && { text_from: textFrom }),
        })),
        ...(next !== undefined && { next }),
      }
    },
  } satisfies Partial<Handlers>
}

const lineView = ({ number, stream, timeMs, text, length, leftOut, open, unordered }: ShownLine): Line => ({
  number,
  stream,
  time: new Date(timeMs).toISOString(),
  text,
  ...(length !== undefined && { length }),
  ...(leftOut !== undefined && { left_out: leftOut }),
  ...(open && { open }),
  ...(unordered && { unordered }),
})
