import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import type { TaskEvent } from '../contract/tasks/task-log.ts'
import { errorOf, type HubHttp } from './http.ts'

export interface FollowOptions {
  /** Only events with a greater `seq`. */
  after?: number
  /** Limits the text of each stream of an attempt to this many bytes. Default: all. */
  outputBytes?: number
  signal?: AbortSignal
  /** Set when the hub has answered before, such as to the run's creation: then even the first connection is retried. */
  reached?: boolean
  /** Milliseconds that a hub may be away after it answered (default 5 minutes). */
  patienceMs?: number
  /** Milliseconds of silence after which a connection counts as dead (default 45 s: three of the hub's keep-alives). */
  silenceMs?: number
  /** Called for each broken connection that is about to be resumed. */
  onBroken?: (error: unknown) => void
}

const FIRST_DELAY_MS = 100
const LAST_DELAY_MS = 5_000

/** A log at the hub: its address, and the events after which no more come. */
interface Log<E> {
  open(last: number, signal: AbortSignal): Promise<Response>
  isLast(event: E): boolean
}

export const followEvents = (http: HubHttp, runId: string, options: FollowOptions): AsyncIterable<RunEvent> =>
  follow<RunEvent>(http, options, {
    open: (last, signal) =>
      http.send('GET /api/runs/:id/events', {
        params: { id: runId },
        headers: { accept: 'text/event-stream', 'last-event-id': String(last) },
        query: { output_bytes: options.outputBytes },
        signal,
      }),
    isLast: ({ type }) => type === 'run.finished',
  })

/** Follows a task until it is over, as `followEvents` does for a run. A restarted task has more events. */
export const followTask = (http: HubHttp, id: string, options: FollowOptions): AsyncIterable<TaskEvent> =>
  follow<TaskEvent>(http, options, {
    open: (last, signal) =>
      http.send('GET /api/tasks/:id/events', {
        params: { id },
        headers: { accept: 'text/event-stream', 'last-event-id': String(last) },
        signal,
      }),
    isLast: () => false,
  })

async function* follow<E extends { seq: number }>(
  http: HubHttp,
  options: FollowOptions,
  log: Log<E>,
): AsyncGenerator<E, void, undefined> {
  const { signal, patienceMs = 300_000 } = options
  let last = options.after ?? 0
  let reached = options.reached ?? false
  let lastGoodMs = performance.now()
  for (let failures = 0; ; failures++) {
    try {
      for await (const event of connection(http, log, last, options, () => {
        reached = true
        lastGoodMs = performance.now()
      })) {
        if (event.seq <= last) continue
        last = event.seq
        failures = 0
        yield event
        if (log.isLast(event)) return
      }
      return
    } catch (error) {
      signal?.throwIfAborted()
      const passing = error instanceof ErrandError && error.code === 'unavailable'
      if (!passing || !reached || performance.now() - lastGoodMs > patienceMs) throw error
      options.onBroken?.(error)
    }
    // Half of the wait is random, so that many readers do not return to a restarted hub at once.
    const delayMs = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures, 10))
    await sleep(delayMs * (0.5 + Math.random() / 2), undefined, { signal })
  }
}

/**
 * Yields one connection's events. Ends when the hub says that no more will come; throws `unavailable` when the
 * connection broke.
 */
async function* connection<E>(
  http: HubHttp,
  log: Log<E>,
  last: number,
  options: FollowOptions,
  alive: () => void,
): AsyncGenerator<E, void, undefined> {
  const silence = new AbortController()
  const signals = options.signal === undefined ? [silence.signal] : [options.signal, silence.signal]
  // A slow consumer does not count as silence of the hub.
  let reading = true
  const timer = setTimeout(() => {
    if (reading) silence.abort(http.unreachable(new Error('silence')))
    else timer.refresh()
  }, options.silenceMs ?? 45_000)
  try {
    const response = await log.open(last, AbortSignal.any(signals))
    if (response.status === 204 || response.body === null) return
    alive()
    const parser = new SseParser()
    for await (const bytes of response.body) {
      reading = false
      alive()
      for (const { event, data } of parser.push(bytes)) {
        if (event === 'error') throw errorOf(data) ?? http.unreachable(new Error('cut off'))
        yield JSON.parse(data) as E
      }
      reading = true
      timer.refresh()
    }
    throw http.unreachable(new Error('the stream ended early'))
  } catch (error) {
    if (error instanceof ErrandError || options.signal?.aborted) throw error
    throw http.unreachable(error)
  } finally {
    clearTimeout(timer)
    silence.abort()
  }
}

/** A single event of a Server-Sent Events stream. */
interface ServerEvent {
  id?: string
  event: string
  data: string
}

/** Parses bytes into events, whatever the chunking; drops comments and `retry`. */
export class SseParser {
  readonly #decoder = new TextDecoder()
  #rest = ''
  #id: string | undefined
  #event = ''
  #data: string[] = []

  push(bytes: Uint8Array): ServerEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true })
    const events: ServerEvent[] = []
    let start = 0
    for (;;) {
      const end = text.indexOf('\n', start)
      if (end < 0) break
      const line = this.#rest + text.slice(start, end)
      this.#rest = ''
      this.#line(line.endsWith('\r') ? line.slice(0, -1) : line, events)
      start = end + 1
    }
    // A long line comes in many chunks; only the new part is searched.
    this.#rest += text.slice(start)
    return events
  }

  #line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.#data.length > 0)
        events.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') })
      this.#event = ''
      this.#data = []
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1)
    if (field === 'data') this.#data.push(value)
    else if (field === 'event') this.#event = value
    else if (field === 'id') this.#id = value
  }
}
