import { ErrandError } from '../../contract/errors.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import { attemptId } from '../../contract/ids.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { OutputStore, RunStore } from '../ports.ts'

/** Events read from the store at once. */
const PAGE = 200

export interface Watched {
  runId: string
  after: number
  /** Limits the text of each stream of an attempt to this many bytes. */
  outputBytes: number
}

export interface WatchPorts {
  store: RunStore
  outputs: OutputStore
  feed: Feed
  closed(): boolean
}

/** Follows a run's log from the store, at the reader's pace; ends after `run.finished`, or when aborted or closed. */
export async function* watch(
  { store, outputs, feed, closed }: WatchPorts,
  { runId, after, outputBytes }: Watched,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent> {
  using follower = feed.follow(runId)
  signal?.addEventListener('abort', follower.tell)
  try {
    for (let seq = after; !signal?.aborted && !closed(); ) {
      // Before reading, so that a commit in between is not missed.
      follower.reads()
      const events = await store.events(runId, seq, PAGE)
      for (const event of events) {
        seq = event.seq
        yield event.type === 'output' ? await withText(outputs, runId, event, outputBytes) : event
        if (event.type === 'run.finished' || signal?.aborted) return
      }
      if (events.length > 0) continue
      const record = await store.get(runId)
      if (!record || (isFinalRun(record.status) && record.last_seq <= seq)) return
      await follower.news()
    }
  } finally {
    signal?.removeEventListener('abort', follower.tell)
  }
}

async function withText(
  outputs: OutputStore,
  runId: string,
  event: EventOf<'output'>,
  most: number,
): Promise<RunEvent> {
  const { attempt, stream, offset, length } = event
  if (offset >= most) return event
  const end = Math.min(offset + length, most)
  const bytes = await outputs.read(attemptId(runId, attempt), stream, offset, end)
  return { ...event, text: bytes.toString('utf8') }
}

/** Wakes the followers of a run when its log has grown. */
export class Feed {
  readonly #followers = new Map<string, Set<Follower>>()

  /** Follows a run until disposed: reports commits from now on. */
  follow(runId: string): Follower {
    const followers = this.#followers.get(runId) ?? new Set()
    this.#followers.set(runId, followers)
    const follower = new Follower(() => {
      followers.delete(follower)
      if (followers.size === 0 && this.#followers.get(runId) === followers) this.#followers.delete(runId)
    })
    followers.add(follower)
    return follower
  }

  report(runId: string): void {
    for (const follower of this.#followers.get(runId) ?? []) follower.tell()
  }

  /** Wakes all followers. */
  close(): void {
    for (const runId of this.#followers.keys()) this.report(runId)
  }
}

/** Waits for news of one run; for one reader. */
class Follower {
  readonly #leave: () => void
  #news = false
  #wake: (() => void) | undefined

  constructor(leave: () => void) {
    this.#leave = leave
  }

  /** Forgets the news so far. Call it before reading the log. */
  reads(): void {
    this.#news = false
  }

  /** Resolves when there is news since the log was read. */
  async news(): Promise<void> {
    if (this.#news) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  readonly tell = (): void => {
    this.#news = true
    this.#wake?.()
    this.#wake = undefined
  };

  [Symbol.dispose](): void {
    this.#leave()
    this.tell()
  }
}

/** Events read from the store at once. */
const LOG_PAGE = 1000

/** Returns a run's record. Throws `run_not_found`. */
export async function recordOf(store: RunStore, runId: string): Promise<RunRecord> {
  const record = await store.get(runId)
  if (record) return record
  throw new ErrandError('run_not_found', `Run "${runId}" not found.`, {
    hint: 'List runs with: errand runs list',
  })
}

/** Returns the whole log of a run. */
export async function logOf(store: RunStore, runId: string): Promise<RunEvent[]> {
  const log: RunEvent[] = []
  for (;;) {
    const page = await store.events(runId, log.length, LOG_PAGE)
    log.push(...page)
    if (page.length < LOG_PAGE) return log
  }
}
