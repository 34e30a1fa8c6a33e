import { useSyncExternalStore } from 'react'
import type { TopicNews } from '../../../src/contract/run-api.ts'
import type { Run } from '../runs.ts'
import { type Connection, OneStream, type RunFollower, type StreamMessage } from './one-stream.ts'

type Reader = (run: Run) => void
interface ListReader {
  row(json: string, kind: string): void
  again(): void
}

/**
 * Follows all runs that change, tasks and runners while they are shown, and the logs of some runs. All tabs of the
 * browser share one stream.
 */
class LiveRuns {
  readonly #stream = new OneStream()
  readonly #watchers = new Set<() => void>()
  readonly #readers = new Set<Reader>()
  readonly #asking = new Set<Reader>()
  readonly #resets = new Set<() => void>()
  /** The hub's version, as last reported by the stream. */
  version: string | undefined

  readonly #tasks = new Set<ListReader>()
  readonly #runners = new Set<ListReader>()
  readonly #shared = new Set<ListReader['row']>()

  constructor() {
    this.#stream.listen({ received: (message) => this.#message(message) })
  }
  start(): void {
    this.#stream.start()
  }
  stop(): void {
    this.#stream.stop()
  }
  /** Reports a login to all tabs of the browser. */
  announceSessionBack(): void {
    this.#stream.announceSessionBack()
  }
  /** Tells the other tabs that the hub does not know their session any more. */
  announceSessionEnded(): void {
    this.#stream.announceSessionEnded()
  }
  /** Sets the function to call when another tab reports that the session has ended. */
  whenSessionEnded(call: () => void): void {
    this.#stream.whenEnded = call
  }
  tryNow(): void {
    this.#stream.now()
  }
  #message(message: StreamMessage): void {
    if (message.kind === 'run') {
      const run = JSON.parse(message.data) as Run
      for (const reader of this.#readers) reader(run)
    } else if (message.kind === 'asks') {
      const run = JSON.parse(message.data) as Run
      for (const reader of this.#asking) reader(run)
    } else if (message.kind === 'reset') for (const reset of this.#resets) reset()
    else if (message.kind === 'task') for (const { row } of this.#tasks) row(message.data, 'task')
    else if (message.kind === 'runners' || message.kind === 'waits' || message.kind === 'groups')
      for (const { row } of this.#runners) row(message.data, message.kind)
    else if (message.kind === 'shared' || message.kind === 'unshared')
      for (const row of this.#shared) row(message.data, message.kind)
    else if (message.kind === 'topic') this.#news(message.of)
    else if (message.kind === 'start') this.version = message.of.version
    if (message.kind === 'connection' || message.kind === 'start')
      for (const watcher of this.#watchers) watcher()
  }
  #news({ topic, state }: TopicNews): void {
    if (state !== 'reset') return
    if (topic === 'tasks') for (const { again } of this.#tasks) again()
    else if (topic === 'runners') for (const { again } of this.#runners) again()
  }
  get connection(): Connection {
    return this.#stream.connection
  }
  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }
  /**
   * Calls `reader` with each run that changed, `asking` with each run of others that asks this person, and `reset`
   * when changes may have been missed.
   */
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
  /**
   * Calls with each run of others that is shared with this person, as JSON, and with the id of each that no longer
   * is.
   */
  readShared(row: ListReader['row']): () => void {
    this.#shared.add(row)
    return () => this.#shared.delete(row)
  }
  /**
   * Calls `row` with each task that changed, as JSON, and `again` when changes may have been missed. Returns how to
   * stop.
   */
  followTasks(row: (json: string) => void, again: () => void): () => void {
    return this.#follow('tasks', this.#tasks, { row, again })
  }
  /**
   * Calls `row` after each change, with the list of runners or of the runs that wait for them, as JSON. The kind
   * `groups` means that the groups are to be read again. Calls `again` when changes may have been missed.
   */
  followRunners(row: (json: string, kind: string) => void, again: () => void): () => void {
    return this.#follow('runners', this.#runners, { row, again })
  }
  #follow(list: 'tasks' | 'runners', readers: Set<ListReader>, reader: ListReader): () => void {
    readers.add(reader)
    const stop = this.#stream.followList(list)
    return () => {
      readers.delete(reader)
      stop()
    }
  }
  /** Follows the events of one run; those of output have no text. Returns how to stop. */
  followRun(id: string, follower: RunFollower): () => void {
    return this.#stream.follow(id, follower)
  }
}

export const liveRuns = new LiveRuns()
export const useConnection = (): Connection => useSyncExternalStore(liveRuns.watch, () => liveRuns.connection)
export const useHubVersion = () => useSyncExternalStore(liveRuns.watch, () => liveRuns.version)
