import type { Chunk, RunFeed } from '../../data/run-feed.ts'
import { readOutput } from '../../data/run-feed.ts'
import { Lines } from './lines.ts'

/** Of a log that is longer only the end is read: its lines have no numbers then. */
const MOST_BYTES = 16 * 1024 * 1024
const RANGE_BYTES = 2 * 1024 * 1024

interface Held {
  from: number
  bytes: Uint8Array
}

/** The lines of one attempt's log, fetched in ranges as they come to be there, in the order of both streams. */
export class LogSource {
  lines = new Lines()
  /** How many bytes at the beginning are left out. */
  leftOut = 0
  failure: unknown
  version = 0
  #next = 0
  #within = 0
  #reading = false
  readonly #held: Record<Chunk['stream'], Held> = {
    stdout: { from: 0, bytes: new Uint8Array() },
    stderr: { from: 0, bytes: new Uint8Array() },
  }
  readonly #stop = new AbortController()
  readonly #watchers = new Set<() => void>()
  readonly #unwatch: () => void
  readonly #run: string
  readonly #attempt: number
  readonly #feed: RunFeed

  constructor(run: string, attempt: number, feed: RunFeed) {
    this.#run = run
    this.#attempt = attempt
    this.#feed = feed
    this.#unwatch = feed.watch(() => void this.#read())
    void this.#read()
  }
  /** Takes in all that the feed knows of; one reading at a time. */
  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (!this.#stop.signal.aborted) {
        const chunks = this.#feed.chunks(this.#attempt)
        this.#skip(chunks)
        const chunk = chunks[this.#next]
        if (chunk === undefined) break
        if (this.#within >= chunk.length) {
          if (this.#next === chunks.length - 1) break
          this.#next++
          this.#within = 0
          continue
        }
        const from = chunk.offset + this.#within
        const bytes = await this.#bytes(chunk, from, chunks)
        if (bytes.length === 0) break
        this.lines.add(chunk.stream, bytes)
        this.#within += bytes.length
        this.#changed()
      }
      this.failure = undefined
    } catch (error) {
      this.failure = error
      this.#changed()
    } finally {
      this.#reading = false
    }
  }
  /** Leaves out the beginning, where nothing is read yet and there is too much. */
  #skip(chunks: readonly Chunk[]): void {
    if (this.#next > 0 || this.#within > 0) return
    let all = chunks.reduce((sum, { length }) => sum + length, 0)
    while (all > MOST_BYTES && this.#next < chunks.length - 1) {
      const { length } = chunks[this.#next++]!
      all -= length
      this.leftOut += length
    }
  }
  async #bytes(chunk: Chunk, from: number, chunks: readonly Chunk[]): Promise<Uint8Array> {
    const end = chunk.offset + chunk.length
    const held = this.#held[chunk.stream]
    const isHeld = from >= held.from && from < held.from + held.bytes.length
    if (!isHeld) {
      // One range for all that is known of the stream from here on, though other bytes come in between.
      const last = chunks.findLast(({ stream }) => stream === chunk.stream)!
      const to = Math.min(last.offset + last.length, from + RANGE_BYTES)
      const bytes = await readOutput(this.#run, this.#attempt, chunk.stream, [from, to], this.#stop.signal)
      this.#held[chunk.stream] = { from, bytes }
    }
    const { from: start, bytes } = this.#held[chunk.stream]
    return bytes.subarray(from - start, end - start)
  }
  #changed(): void {
    this.version++
    for (const watcher of this.#watchers) watcher()
  }
  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }
  stop(): void {
    this.#stop.abort()
    this.#unwatch()
  }
}
