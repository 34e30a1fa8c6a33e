import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../../contract/errors.ts'
import { randomText } from '../../../contract/ids.ts'
import type { RunRecord } from '../../../contract/run.ts'
import type { TopicNews } from '../../../contract/run-api.ts'
import type { Identity } from '../../auth/auth.ts'
import type { ChangedRow } from '../../page/changes.ts'
import type { ApiContext } from '../api-context.ts'
import { isAdmin, readableRun } from '../http/access.ts'
import type { PacedResponse } from '../http/paced-response.ts'
import { EventText } from './run-events.ts'
import type { RunnerLists } from './runner-lists.ts'

/** Limits the runs that one stream follows. */
const MOST_TOPICS = 64
/** Shortest time between two updates of rows, in milliseconds. */
const PACE_MS = 100
/** Shortest time between two updates of the runners, in milliseconds. */
const RUNNERS_PACE_MS = 250

const lists = ['runs', 'tasks', 'runners'] as const
type ListName = (typeof lists)[number]
/** Lists that a stream can resume, in the order of the parts of a cursor. */
const resumed = ['runs', 'tasks'] as const
type ResumedList = (typeof resumed)[number]

/** Messages about one row. */
type RowEvent = 'run' | 'task' | 'asks' | 'shared' | 'unshared'

interface RunTopic {
  runId: string
  after: number
}

const isList = (topic: ListName | RunTopic): topic is ListName => typeof topic === 'string'
const nameOf = (topic: ListName | RunTopic): string => (isList(topic) ? topic : `run:${topic.runId}`)

/** Parses a topic: the name of a list, or `run:ID@SEQ`. */
function readTopic(text: string): ListName | RunTopic {
  const list = lists.find((one) => one === text)
  if (list !== undefined) return list
  const [runId, seq] = text.slice('run:'.length).split('@')
  return { runId: runId!, after: Number(seq ?? 0) }
}

/** An open stream, with the lists and run logs that its reader asked for. */
export class EventTopics {
  /** Identifies the stream in requests of its user. */
  readonly id = `stream_${randomText(20)}`
  /** The user's current identity, checked again while the stream is open. */
  identity: Identity
  readonly #context: ApiContext
  readonly #runners: RunnerLists
  readonly #paced: PacedResponse
  readonly #followed = new Map<string, AbortController>()
  /** Place up to which each list was sent. */
  readonly #places = new Map<ResumedList, number>()
  /** Runs for which `unshared` was sent. */
  readonly #unshared = new Set<string>()
  #written: Promise<void> = Promise.resolve()

  constructor(context: ApiContext, of: { identity: Identity; paced: PacedResponse; runners: RunnerLists }) {
    this.#context = context
    this.#runners = of.runners
    this.#paced = of.paced
    this.identity = of.identity
    of.paced.gone.addEventListener('abort', () => this.#drop())
  }

  get topics(): string[] {
    const runs = [...this.#followed.keys()].filter((name) => name.startsWith('run:'))
    return [...lists.filter((list) => this.#followed.has(list)), ...runs]
  }

  /** Writes messages one after another; resolves when the reader has room for more. */
  write(text: string): Promise<void> {
    this.#written = this.#written.then(() => this.#paced.write(text))
    return this.#written
  }

  /** Adds and drops topics. Throws `run_not_found` or `rate_limited` before anything has changed. */
  async change(add: readonly string[], drop: readonly string[]): Promise<void> {
    const topics = add.map(readTopic)
    const runs = topics.filter((topic): topic is RunTopic => !isList(topic))
    const records: RunRecord[] = []
    for (const { runId } of runs) records.push(await readableRun(this.#context.engine, this.identity, runId))
    const dropped = new Set(drop.map((topic) => nameOf(readTopic(topic))))
    const left = new Set([...this.#followed.keys()].filter((name) => name.startsWith('run:')))
    for (const name of dropped) left.delete(name)
    for (const topic of runs) left.add(nameOf(topic))
    if (left.size > MOST_TOPICS)
      throw new ErrandError('rate_limited', `A stream can follow at most ${MOST_TOPICS} runs.`, {
        hint: 'Drop some, or open another stream.',
        details: { limit: MOST_TOPICS },
      })
    for (const name of dropped) this.#leave(name)
    for (const [index, { after }] of runs.entries()) this.#followRun(records[index]!, after)
    for (const list of topics.filter(isList)) {
      if (this.#followed.has(list)) continue
      const place = list === 'runners' ? undefined : this.#context.changes[list].placeOf(undefined).place
      if (list !== 'runners') this.#places.set(list, place!)
      await this.#report({ topic: list, state: 'begun' }, true)
      this.#followList(list)
    }
  }

  /**
   * Sends `start`, and a reset for each list that cannot resume from `after`, the cursor of an earlier message. Then
   * follows everything that the user may see. Each run that the user may not see is refused with a message.
   */
  async begin(requested: readonly string[], after: string | undefined, start: string): Promise<void> {
    const topics = requested.map(readTopic)
    const parts = after?.split('~')
    const missed: ResumedList[] = []
    for (const [index, list] of resumed.entries()) {
      if (!topics.includes(list)) continue
      const { place, reset } = this.#context.changes[list].placeOf(parts && (parts[index] ?? ''))
      this.#places.set(list, place)
      if (reset) missed.push(list)
    }
    await this.write(`id: ${this.#cursor()}\nevent: start\ndata: ${start}\n\n`)
    for (const list of missed) await this.#reset(list)
    for (const topic of topics) {
      if (isList(topic)) this.#followList(topic)
      else
        try {
          await this.change([`run:${topic.runId}@${topic.after}`], [])
        } catch (error) {
          await this.#refuse(topic.runId, error)
        }
    }
  }

  /** Checks again what the user may see. */
  async recheck(identity: Identity): Promise<void> {
    this.identity = identity
    for (const name of this.#followed.keys()) {
      if (!name.startsWith('run:')) continue
      const runId = name.slice('run:'.length)
      try {
        await readableRun(this.#context.engine, identity, runId)
      } catch (error) {
        if (!(error instanceof ErrandError) || error.status >= 500) continue
        this.#leave(name)
        await this.#refuse(runId, error)
      }
    }
  }

  #leave(name: string): void {
    this.#followed.get(name)?.abort()
    this.#followed.delete(name)
    this.#places.delete(name as ResumedList)
  }

  #drop(): void {
    for (const following of this.#followed.values()) following.abort()
    this.#followed.clear()
  }

  /** Returns the place of the reader, from which its next stream resumes with what this one had. */
  #cursor(): string {
    const parts = resumed.map((list) => {
      const place = this.#places.get(list)
      return place === undefined ? '' : this.#context.changes[list].cursorOf(place)
    })
    return parts.join('~').replace(/~$/, '')
  }

  #reset(list: ResumedList): Promise<void> {
    if (list === 'runs') return this.write(`id: ${this.#cursor()}\nevent: reset\ndata: {}\n\n`)
    return this.#report({ topic: list, state: 'reset' }, true)
  }

  #followRun(record: RunRecord, after: number): void {
    const { run_id: runId, last_seq } = record
    // The log of a restored hub may be shorter than what the reader has read.
    const isTooFar = after > last_seq
    this.#follow(`run:${runId}`, (signal) => this.#send(record, isTooFar ? undefined : after, signal))
  }

  #followList(list: ListName): void {
    this.#follow(list, (signal) =>
      list === 'runners' ? this.#sendRunners(signal) : this.#sendRows(list, signal),
    )
  }

  #follow(name: string, send: (signal: AbortSignal) => Promise<void>): void {
    this.#followed.get(name)?.abort()
    if (this.#paced.gone.aborted) return
    const following = new AbortController()
    this.#followed.set(name, following)
    void send(following.signal).catch((error) => {
      if (following.signal.aborted) return
      this.#context.log(`sending the events of ${name} failed: ${(error as Error).stack}`, { level: 'error' })
      // The reader opens it again and continues after what it has read.
      this.#paced.finish()
    })
  }

  async #sendRows(list: ResumedList, signal: AbortSignal): Promise<void> {
    const changes = this.#context.changes[list]
    while (!signal.aborted) {
      const place = this.#places.get(list)!
      await changes.more(place, signal)
      const found = changes.after(place)
      if (found === undefined) {
        this.#places.set(list, changes.end)
        await this.#reset(list)
        continue
      }
      for (const { id, next } of found) {
        const row = await changes.row(id)
        if (signal.aborted) return
        this.#places.set(list, next)
        for (const event of row === undefined ? [] : this.#eventsOf(list, id, row)) {
          const data = event === 'unshared' ? JSON.stringify({ run_id: id }) : row!.json
          await this.write(`id: ${this.#cursor()}\nevent: ${event}\ndata: ${data}\n\n`)
        }
      }
      await sleep(PACE_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** Returns the events to send about the row to this user; empty if the row does not concern them. */
  #eventsOf(list: ResumedList, id: string, { tenant, owner, asks, shared }: ChangedRow): RowEvent[] {
    const { user } = this.identity
    if (tenant !== user.tenant) return []
    const events: RowEvent[] = []
    if (isAdmin(this.identity) || owner === user.name) events.push(list === 'runs' ? 'run' : 'task')
    else if (asks(user)) events.push('asks')
    const isShared = shared?.(user)
    if (isShared === 'now') {
      this.#unshared.delete(id)
      events.push('shared')
    } else if (isShared === 'before' && !this.#unshared.has(id)) {
      // Sent once: afterwards the run is no longer the user's concern.
      this.#unshared.add(id)
      events.push('unshared')
    }
    return events
  }

  async #sendRunners(signal: AbortSignal): Promise<void> {
    let sent = { runners: '', waits: '', pools: '' }
    while (!signal.aborted) {
      const { rung } = this.#runners
      const texts = await this.#runners.of(this.identity)
      if (signal.aborted) return
      for (const event of ['runners', 'waits'] as const)
        if (texts[event] !== sent[event]) await this.write(`event: ${event}\ndata: ${texts[event]}\n\n`)
      // The list of groups has more in it than pools, so its readers fetch it again.
      if (texts.pools !== sent.pools) await this.write('event: groups\ndata: {}\n\n')
      sent = texts
      await sleep(RUNNERS_PACE_MS, undefined, { signal }).catch(() => {})
      await this.#runners.more(rung, signal)
    }
  }

  async #send(record: RunRecord, after: number | undefined, signal: AbortSignal): Promise<void> {
    const { engine, metrics, streams } = this.#context
    const { run_id: runId } = record
    const texts = new EventText({
      engine,
      semaphore: streams.semaphore,
      user: this.identity.user.id,
      runId,
      outputBytes: 0,
    })
    if (after === undefined) await this.#report({ topic: `run:${runId}`, state: 'reset' })
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
      this.#leave(`run:${runId}`)
      await this.#report({ topic: `run:${runId}`, state: 'end' })
    } finally {
      left()
    }
  }

  #refuse(runId: string, error: unknown): Promise<void> {
    if (!(error instanceof ErrandError)) throw error
    return this.#report({ topic: `run:${runId}`, state: 'refused', error: error.toBody().error })
  }

  #report(news: TopicNews, withCursor = false): Promise<void> {
    const id = withCursor ? `id: ${this.#cursor()}\n` : ''
    return this.write(`${id}event: topic\ndata: ${JSON.stringify(news)}\n\n`)
  }
}
