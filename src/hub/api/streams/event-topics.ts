import { ErrandError } from '../../../contract/errors.ts'
import { randomText } from '../../../contract/ids.ts'
import type { RunRecord } from '../../../contract/run.ts'
import type { TopicNews } from '../../../contract/run-api.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ApiContext } from '../api-context.ts'
import { readableRun } from '../http/access.ts'
import type { PacedResponse } from '../http/paced-response.ts'
import { EventText } from './run-events.ts'

/** Runs that one stream follows at most. */
const MOST_TOPICS = 64

interface Topic {
  runId: string
  after: number
}

/** A topic as it is written: `runs`, or `run:ID@SEQ`. */
export function readTopic(text: string): 'runs' | Topic {
  if (text === 'runs') return text
  const [runId, seq] = text.slice('run:'.length).split('@')
  return { runId: runId!, after: Number(seq ?? 0) }
}

/** One open stream: the list of runs where it is wanted, and the logs of the runs that it was asked for. */
export class EventTopics {
  /** Names the stream in requests of its user. */
  readonly id = `stream_${randomText(20)}`
  /** As it is now: looked at again while the stream is open. */
  identity: Identity
  hasRuns: boolean
  readonly #context: ApiContext
  readonly #paced: PacedResponse
  readonly #followed = new Map<string, AbortController>()
  #written: Promise<void> = Promise.resolve()

  constructor(context: ApiContext, of: { identity: Identity; paced: PacedResponse; hasRuns: boolean }) {
    this.#context = context
    this.#paced = of.paced
    this.identity = of.identity
    this.hasRuns = of.hasRuns
    of.paced.gone.addEventListener('abort', () => this.#drop())
  }

  get topics(): string[] {
    return [...(this.hasRuns ? ['runs'] : []), ...[...this.#followed.keys()].map((id) => `run:${id}`)]
  }

  /** Writes one message after another; resolves when its reader has room for more. */
  write(text: string): Promise<void> {
    this.#written = this.#written.then(() => this.#paced.write(text))
    return this.#written
  }

  /** Throws `run_not_found` and `rate_limited` before anything has changed. */
  async change(add: readonly string[], drop: readonly string[]): Promise<void> {
    const topics = add.map(readTopic)
    const runs = topics.filter((topic) => topic !== 'runs')
    const dropped = drop.map(readTopic)
    const records: RunRecord[] = []
    for (const { runId } of runs) records.push(await readableRun(this.#context.engine, this.identity, runId))
    const left = new Set(this.#followed.keys())
    for (const topic of dropped) if (topic !== 'runs') left.delete(topic.runId)
    for (const { runId } of runs) left.add(runId)
    if (left.size > MOST_TOPICS)
      throw new ErrandError('rate_limited', `A stream follows at most ${MOST_TOPICS} runs.`, {
        hint: 'Drop some, or open another stream.',
        details: { limit: MOST_TOPICS },
      })
    for (const topic of dropped) this.#leave(topic)
    for (const [index, { after }] of runs.entries()) this.#follow(records[index]!, after)
    if (topics.includes('runs')) this.hasRuns = true
  }

  /** Follows what may be seen of these; the others are refused by a message each. */
  async begin(topics: readonly Topic[]): Promise<void> {
    for (const { runId, after } of topics)
      try {
        await this.change([`run:${runId}@${after}`], [])
      } catch (error) {
        await this.#refuse(runId, error)
      }
  }

  /** Looks again at what the user may see. */
  async recheck(identity: Identity): Promise<void> {
    this.identity = identity
    for (const runId of this.#followed.keys())
      try {
        await readableRun(this.#context.engine, identity, runId)
      } catch (error) {
        if (!(error instanceof ErrandError) || error.status >= 500) continue
        this.#leave({ runId })
        await this.#refuse(runId, error)
      }
  }

  #leave(topic: 'runs' | { runId: string }): void {
    if (topic === 'runs') {
      this.hasRuns = false
      return
    }
    this.#followed.get(topic.runId)?.abort()
    this.#followed.delete(topic.runId)
  }

  #drop(): void {
    for (const following of this.#followed.values()) following.abort()
    this.#followed.clear()
  }

  #follow(record: RunRecord, after: number): void {
    const { run_id: runId, last_seq } = record
    this.#followed.get(runId)?.abort()
    if (this.#paced.gone.aborted) return
    const following = new AbortController()
    this.#followed.set(runId, following)
    // The log of a restored hub may be shorter than what was read of it.
    const isTooFar = after > last_seq
    void this.#send(record, isTooFar ? undefined : after, following.signal).catch((error) => {
      if (following.signal.aborted) return
      this.#context.log(`events of ${runId} broke off: ${(error as Error).stack}`, {
        level: 'error',
        run_id: runId,
      })
      // It is opened again, and goes on from what was read.
      this.#paced.finish()
    })
  }

  async #send(record: RunRecord, after: number | undefined, signal: AbortSignal): Promise<void> {
    const { engine, metrics, streams } = this.#context
    const { run_id: runId } = record
    const texts = new EventText({
      engine,
      turns: streams.turns,
      user: this.identity.user.id,
      runId,
      outputBytes: 0,
    })
    if (after === undefined) await this.#tell({ topic: `run:${runId}`, state: 'reset' })
    const left = metrics.reader((after ?? 0) > 0)
    const lead = `event: run.event\ndata: {"run_id":${JSON.stringify(runId)},"event":`
    try {
      for await (const event of engine.watch(runId, after ?? 0, signal, { outputBytes: 0 })) {
        if (signal.aborted) return
        // An event without text is one piece.
        for await (const piece of texts.json(event, lead, '}\n\n')) {
          if (signal.aborted) return
          await this.write(piece)
        }
      }
      if (signal.aborted) return
      this.#followed.delete(runId)
      await this.#tell({ topic: `run:${runId}`, state: 'end' })
    } finally {
      left()
    }
  }

  #refuse(runId: string, error: unknown): Promise<void> {
    if (!(error instanceof ErrandError)) throw error
    return this.#tell({ topic: `run:${runId}`, state: 'refused', error: error.toBody().error })
  }

  #tell(news: TopicNews): Promise<void> {
    return this.write(`event: topic\ndata: ${JSON.stringify(news)}\n\n`)
  }
}
