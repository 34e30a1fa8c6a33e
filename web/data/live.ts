import { useSyncExternalStore } from 'react'
import { hubNow } from './clock.ts'
import { follow } from './event-stream.ts'
import type { Run } from './runs.ts'

export interface Connection {
  /** `none`: the hub gives no stream of runs. */
  state: 'connecting' | 'live' | 'away' | 'none'
  /** Since when what is shown is old, by the hub's clock. */
  sinceMs?: number
}

type Reader = (run: Run) => void

/** The stream of all runs that change, one for the page. */
class LiveRuns {
  #connection: Connection = { state: 'connecting' }
  #stream: ReturnType<typeof follow> | undefined
  readonly #watchers = new Set<() => void>()
  readonly #readers = new Set<Reader>()
  readonly #asking = new Set<Reader>()
  readonly #resets = new Set<() => void>()

  start(): void {
    if (this.#stream !== undefined) return
    this.#stream = follow('/api/events', {
      query: { topics: 'runs' },
      message: ({ event, data }) => {
        if (event === 'reset') for (const reset of this.#resets) reset()
        if (event !== 'run' && event !== 'asks') return
        const run = JSON.parse(data) as Run
        for (const reader of event === 'run' ? this.#readers : this.#asking) reader(run)
      },
      state: (state) => {
        if (state === 'away') {
          if (this.#connection.state !== 'away') this.#set({ state, sinceMs: hubNow() })
        } else this.#set({ state: state === 'refused' ? 'none' : state })
      },
    })
  }
  stop(): void {
    this.#stream?.stop()
    this.#stream = undefined
    this.#set({ state: 'connecting' })
  }
  tryNow(): void {
    this.#stream?.now()
  }
  #set(connection: Connection): void {
    this.#connection = connection
    for (const watcher of this.#watchers) watcher()
  }
  get connection(): Connection {
    return this.#connection
  }
  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }
  /** Calls with each run that changed, `asking` with those of others that ask this person; `reset` where some may have been missed. */
  read(reader: Reader, reset: () => void, asking: Reader = () => {}): () => void {
    this.#readers.add(reader)
    this.#asking.add(asking)
    this.#resets.add(reset)
    return () => {
      this.#readers.delete(reader)
      this.#asking.delete(asking)
      this.#resets.delete(reset)
    }
  }
}

export const liveRuns = new LiveRuns()
export const useConnection = (): Connection => useSyncExternalStore(liveRuns.watch, () => liveRuns.connection)
