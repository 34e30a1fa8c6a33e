import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import type { EventOf, RunEvent } from '../../src/contract/events.ts'
import { isWhole } from './instances.ts'
import { liveRuns } from './live/live.ts'
import { runQuery, type WholeRun } from './runs.ts'

export interface Chunk {
  stream: 'stdout' | 'stderr'
  offset: number
  length: number
}

/** A run with more events is followed from where its page read it: what was before is asked for where it is shown. */
const MOST_EVENTS = 400

/** The seq from which a run's page hears it; talks with agents are heard whole. */
export const feedStart = ({ last_seq, steps }: WholeRun): number =>
  last_seq <= MOST_EVENTS || steps.some(({ action }) => action === 'agent.run') ? 0 : last_seq

/** The log of one run as it comes: its steps are read anew when they change, its outputs are known by their places. */
export class RunFeed {
  readonly events: RunEvent[] = []
  readonly #chunks = new Map<number, Chunk[]>()
  readonly #watchers = new Set<() => void>()
  readonly #unfollow: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #lastReadMs = 0
  #stopped = false
  version = 0
  /** The last seq that it does not have. */
  from: number
  /** When the hub was told of the first output. */
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
      // What is under way the hub may have answered before this event: that is waited for, and then read anew.
      const isUnderWay = client.isFetching({ queryKey: query.queryKey, exact: true }) > 0
      await read()
      if (isUnderWay && !this.#stopped) await read()
    }
    const pauseMs = () =>
      client.getQueryData<WholeRun>(query.queryKey)?.steps.every(isWhole) === false ? 1000 : 250
    this.#unfollow = liveRuns.followRun(id, {
      seq: from,
      event: (one) => {
        if (one.type === 'output') {
          this.firstOutputAt ??= one.time
          this.#addChunk(one)
        } else {
          this.events.push(one)
          // At most so often, and the first at once; what an agent says changes nothing of the run but by its questions.
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
    // What follows in the same stream is one range to fetch.
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

/** The feed of a run while something shows it, from that seq on. */
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
