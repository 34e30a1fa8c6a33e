import type { FoundLines } from '../../../src/contract/run-api.ts'
import { ask } from '../../data/api.ts'
import { linesPath } from './log-lines.ts'
import type { Stream } from './log-streams.ts'

/** Maximum number of lines to find. */
const MOST_HITS = 10_000

type Ranges = readonly (readonly [number, number])[]

/** Searches the whole of one log at the hub. Hits come in parts, in the order of the lines. */
export class LogSearch {
  /** The numbers of the lines with hits; the list grows. */
  readonly numbers: number[] = []
  /** Every line that existed has been searched. */
  isExact = false
  failure: unknown
  version = 0
  readonly #found = new Map<number, { ranges: Ranges; text: string }>()
  readonly #stop = new AbortController()
  readonly #watchers = new Set<() => void>()
  readonly #path: string
  readonly #q: string
  readonly #re: boolean
  /** Only hits in this stream count. */
  readonly #stream: Stream | undefined
  #cursor = 1
  #requested = 0
  #busy = false

  constructor(run: string, attempt: number, { q, re }: { q: string; re: boolean }, stream?: Stream) {
    this.#stream = stream
    this.#path = `${linesPath(run, attempt)}/search`
    this.#q = q
    this.#re = re
  }

  /** Searches the lines that were not searched yet, up to `total`. */
  async grow(total: number): Promise<void> {
    this.#requested = total
    if (this.#busy || this.#cursor > total || this.numbers.length >= MOST_HITS) return
    this.#busy = true
    this.isExact = false
    try {
      for (let cursor: number | undefined = this.#cursor; cursor !== undefined; ) {
        const query = { q: this.#q, re: String(this.#re), cursor, limit: 1000 }
        const found: FoundLines = await ask('GET', this.#path, { query, signal: this.#stop.signal })
        for (const { number, ranges, text, stream } of found.hits) {
          if (this.#stream !== undefined && stream !== this.#stream) continue
          if (!this.#found.has(number)) this.numbers.push(number)
          this.#found.set(number, { ranges, text })
        }
        // The last line may have grown since more output came.
        this.#cursor = found.next ?? Math.max(1, found.total)
        const isMore = found.next !== undefined || found.total < this.#requested
        cursor = isMore && this.numbers.length < MOST_HITS ? this.#cursor : undefined
        this.isExact = found.next === undefined
        this.#changed()
      }
      this.failure = undefined
    } catch (error) {
      if (this.#stop.signal.aborted) return
      this.failure = error
      this.#changed()
    } finally {
      this.#busy = false
    }
  }

  /** Returns the hits in a line, in UTF-16 units of its text without codes. */
  ranges(number: number): Ranges | undefined {
    return this.#found.get(number)?.ranges
  }

  /** The lines with hits, each with its first 1,000 characters without codes. */
  get lines(): { number: number; text: string }[] {
    return [...this.#found].map(([number, { text }]) => ({ number, text }))
  }

  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }

  stop(): void {
    this.#stop.abort()
  }

  #changed(): void {
    this.version++
    for (const watcher of this.#watchers) watcher()
  }
}
