import type { EventOf, RunEvent } from '../contract/events.ts'
import { attemptId } from '../contract/ids.ts'
import { isFinalRun } from '../contract/status.ts'
import type { Feed } from './feed.ts'
import type { OutputStore, RunStore } from './ports.ts'

/** Events read from the store at once. */
const PAGE = 200

export interface Watched {
  runId: string
  after: number
  /** Of each stream of an attempt, text of the first so many bytes. */
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
