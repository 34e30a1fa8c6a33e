import type { QueryClient } from '@tanstack/react-query'
import type { EventOf, RunEvent } from '../../src/contract/events.ts'
import { liveRuns } from './live.ts'
import { getRun } from './runs.ts'

export interface Chunk {
  stream: 'stdout' | 'stderr'
  offset: number
  length: number
}

/** The log of one run as it comes: its steps are read anew when they change, its outputs are known by their places. */
export class RunFeed {
  readonly events: RunEvent[] = []
  readonly #chunks = new Map<number, Chunk[]>()
  readonly #watchers = new Set<() => void>()
  readonly #unfollow: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #lastReadMs = 0
  version = 0

  constructor(id: string, client: QueryClient) {
    const again = () => {
      this.#timer = undefined
      this.#lastReadMs = Date.now()
      void client.fetchQuery({
        queryKey: ['run', id],
        queryFn: ({ signal }) => getRun(id, signal),
        staleTime: 0,
      })
    }
    this.#unfollow = liveRuns.followRun(id, {
      seq: 0,
      event: (one) => {
        if (one.type === 'output') this.#addChunk(one)
        else {
          this.events.push(one)
          // At most so often, and the first at once; what an agent says changes nothing of the run but by its questions.
          if (one.type !== 'agent.update' || one.update.kind.startsWith('permission'))
            this.#timer ??= setTimeout(again, Math.max(0, 250 - (Date.now() - this.#lastReadMs)))
          if (one.type === 'run.finished') this.#unfollow()
        }
        this.#changed()
      },
      news: ({ state }) => {
        if (state !== 'reset') return
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
    this.#unfollow()
    clearTimeout(this.#timer)
  }
}
