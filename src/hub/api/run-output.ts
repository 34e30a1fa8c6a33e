import type { StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord, RunView } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import type { ApiContext } from './api-context.ts'
import { readableRun } from './http/access.ts'
import { sendRange } from './http/ranged-content.ts'
import type { Handlers } from './http/routes.ts'

/** Limits the bytes that are buffered for a reader. */
const CHUNK_BYTES = 64 * 1024

export function runOutputHandlers({ engine, streams, log }: ApiContext) {
  const lengths = new ReportedLengths(engine)
  return {
    'GET /api/runs/:id/attempts/:number/output/:stream': async (
      { identity, params, query, headers, method },
      reply,
    ) => {
      const { id, number, stream } = params
      const onlyHead = method === 'HEAD'
      const record = await readableRun(engine, identity, id)
      // Asked before the length of the stored output: output is stored before the log mentions it.
      const known = await lengths.of(record, number, stream)
      const length = await engine.outputLength(id, number, stream)
      if (known === undefined)
        throw new ErrandError('not_found', `Run "${id}" has no attempt ${number}.`, {
          hint: 'List the attempts of each step with: GET /api/runs/:id',
        })
      if (length < known && !query.damaged)
        throw new ErrandError(
          'output_damaged',
          `The hub has only ${length} of ${known} bytes of ${stream} of attempt ${number}: the file was cut short or is missing.`,
          {
            hint: 'Add ?damaged=true to get what is there. A backup may have all of it.',
            details: { length: known, there: length },
          },
        )
      const user = identity.user.id
      const read = async (from: number, to: number) => {
        using _turn = await streams.semaphore.acquire(user)
        return await engine.output(id, number, stream, from, to)
      }
      await sendRange(
        reply,
        {
          ...{ user, length, onlyHead },
          range: headers.range,
          headers: { 'content-type': 'text/plain; charset=utf-8' },
          name: 'The output',
          async *read(start, end) {
            for (let at = start; at < end; ) {
              const bytes = await read(at, Math.min(end, at + CHUNK_BYTES))
              if (bytes.length === 0) return
              at += bytes.length
              yield bytes
            }
          },
        },
        { streams, log },
      )
    },
  } satisfies Partial<Handlers>
}

/** Number of ended runs whose lengths are cached. */
const CACHED_RUNS = 100

/** Knows the length that the log of a run gives for each output. */
class ReportedLengths {
  readonly #engine: EngineFace
  /** Ended runs, least recently used first, so that a long log is not folded again for each range. */
  readonly #ended = new BoundedMap<string, ReadonlyMap<number, Lengths>>(CACHED_RUNS)

  constructor(engine: EngineFace) {
    this.#engine = engine
  }

  /** Returns the length, or undefined if there is no such attempt. */
  async of({ run_id, status }: RunRecord, number: number, stream: StreamName): Promise<number | undefined> {
    const known = this.#ended.get(run_id)
    const lengths = known ?? lengthsIn(await this.#engine.view(run_id))
    if (known !== undefined || isFinalRun(status)) {
      this.#ended.set(run_id, lengths)
    }
    const attempt = lengths.get(number)
    return attempt && (attempt[stream]?.length ?? 0)
  }
}

type Lengths = Partial<Record<string, { length: number }>>

const lengthsIn = ({ steps }: RunView): ReadonlyMap<number, Lengths> =>
  new Map(
    steps.flatMap(({ instances }) =>
      instances.flatMap(({ attempts }) =>
        attempts.map(({ number, streams = {} }) => [number, streams] as const),
      ),
    ),
  )
