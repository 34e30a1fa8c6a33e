import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import type { EventOf, RunEvent } from '../../src/contract/events.ts'
import { isWhole } from './instances.ts'
import { liveRuns } from './live/live.ts'
import { type RunDetail, runQuery } from './runs.ts'

export interface Chunk {
  stream: 'stdout' | 'stderr'
  offset: number
  length: number
}

/**
 * Maximum number of events that a page follows from the first one. A longer run is followed from where its page read
 * it, and earlier events are requested where they are shown.
 */
const MOST_EVENTS = 400

/** Returns the seq after which a run's page follows it; conversations with agents are followed from their start. */
export const feedStart = ({ last_seq, steps }: RunDetail): number =>
  last_seq <= MOST_EVENTS || steps.some(({ action }) => action === 'agent.run') ? 0 : last_seq

/** Follows the log of one run. The run's steps are read again when they change; outputs are known by their offsets. */
export class RunFeed {
  readonly events: RunEvent[] = []
  readonly #chunks = new Map<number, Chunk[]>()
  readonly #watchers = new Set<() => void>()
  readonly #unfollow: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #lastReadMs = 0
  #stopped = false
  version = 0
  /** The last seq that the feed skips. */
  from: number
  /** When the hub received the first output. */
  firstOutputAt: string | undefined

  constructor(id: string, client: QueryClient, from = 0) {
    this.from = from
    const query = runQuery(id)
    const read = () => {
      this.#lastReadMs = Date.now()
      return client.fetchQuery({ ...query, staleTime: 0 }).catch(() => undefined)
    }
    const again = async () => {
      this.#timer = undefined
      // A read under way may have been answered before this event: wait for it, then read again.
      const isUnderWay = client.isFetching({ queryKey: query.queryKey, exact: true }) > 0
      await read()
      if (isUnderWay && !this.#stopped) await read()
    }
    const pauseMs = () =>
      client.getQueryData<RunDetail>(query.queryKey)?.steps.every(isWhole) === false ? 1000 : 250
    this.#unfollow = liveRuns.followRun(id, {
      seq: from,
      event: (one) => {
        if (one.type === 'output') {
          this.firstOutputAt ??= one.time
          this.#addChunk(one)
        } else {
          this.events.push(one)
          // Reads at once, then at most once per pause. Of an agent's updates, only questions change the run.
          if (one.type !== 'agent.update' || one.update.kind.startsWith('permission'))
            this.#timer ??= setTimeout(
              () => void again(),
              Math.max(0, pauseMs() - (Date.now() - this.#lastReadMs)),
            )
          if (one.type === 'run.finished') this.#unfollow()
        }
        this.#changed()
      },
      news: ({ state }) => {
        if (state !== 'reset') return
        this.from = 0
        this.events.length = 0
        this.#chunks.clear()
        this.#changed()
      },
    })
  }
  #addChunk({ attempt, stream, offset, length }: EventOf<'output'>): void {
    const chunks = this.#chunks.get(attempt) ?? []
    this.#chunks.set(attempt, chunks)
    const last = chunks.at(-1)
    // Adjacent chunks of the same stream are fetched as one range.
    if (last?.stream === stream && last.offset + last.length === offset && last.length < 65_536)
      last.length += length
    else chunks.push({ stream: stream as Chunk['stream'], offset, length })
  }
  #changed(): void {
    this.version++
    for (const watcher of this.#watchers) watcher()
  }
  chunks(attempt: number): readonly Chunk[] {
    return this.#chunks.get(attempt) ?? []
  }
  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }
  stop(): void {
    this.#stopped = true
    this.#unfollow()
    clearTimeout(this.#timer)
  }
}

/** Returns the feed of a run, after that seq, as long as a component shows it. */
export function useRunFeed(id: string | undefined, from = 0): RunFeed | undefined {
  const client = useQueryClient()
  const [feed, setFeed] = useState<RunFeed>()
  const start = useRef(from)
  start.current = from
  useEffect(() => {
    if (id === undefined) return setFeed(undefined)
    const begun = new RunFeed(id, client, start.current)
    setFeed(begun)
    return () => begun.stop()
  }, [id, client])
  return feed
}
