import type { Line, Lines } from '../../../src/contract/run-api.ts'
import { ApiError, ask } from '../../data/api.ts'
import type { RunFeed } from '../../data/run-feed.ts'
import { isGroupMark } from './log-groups.ts'

/** Number of lines fetched at once, and number of such blocks held. */
const BLOCK = 200
const MOST_BLOCKS = 100
/** Number of bytes of a line that come at first, and number when the whole line is requested. */
const CUT_BYTES = 2048
const MOST_BYTES = 1024 * 1024
const REFRESH_MS = 100
/** Milliseconds until the next request after one that got no answer, or none of the bytes that events have reported. */
const AGAIN_MS = 2_000
/** Maximum of the wait for reported bytes, in milliseconds; the wait doubles up to it. */
const MOST_NEWS_MS = 30_000

const blockOf = (number: number) => Math.floor((number - 1) / BLOCK)

export const linesPath = (run: string, attempt: number) =>
  `/api/runs/${encodeURIComponent(run)}/attempts/${attempt}/lines`

/**
 * Holds the lines of one attempt's log: it fetches the end first, other lines when they come into view, and new lines
 * as they arrive.
 */
export class LogLines {
  total = 0
  /** The hub has answered at least once. */
  isKnown = false
  ended = false
  lastStderr: { from: number; to: number } | undefined
  /** Progress of the hub in counting a long log. */
  behind: Lines['behind']
  missing = 0
  failure: unknown
  version = 0
  #bytes = 0
  /** The last fetched line that begins or ends a group. */
  lastMark = 0
  #requested: readonly number[] = []
  #fetching = false
  #refreshing = false
  #running = true
  #retry: ReturnType<typeof setTimeout> | undefined
  #newsMs = AGAIN_MS
  readonly #blocks = new Map<number, Line[]>()
  readonly #open = new Map<number, Line>()
  /** Lines that may have grown since they were fetched; their old text stays until they are fetched again. */
  readonly #stale = new Set<number>()
  /** Blocks of which the hub had no lines. */
  readonly #absent = new Set<number>()
  readonly #whole = new Map<number, Line>()
  readonly #stop = new AbortController()
  readonly #watchers = new Set<() => void>()
  readonly #unwatch: () => void
  readonly #path: string
  readonly #attempt: number
  readonly #feed: RunFeed

  constructor(run: string, attempt: number, feed: RunFeed) {
    this.#path = linesPath(run, attempt)
    this.#attempt = attempt
    this.#feed = feed
    this.#unwatch = feed.watch(() => void this.#refresh())
    void this.#refresh()
  }

  /** Returns a line that has been fetched. Others are fetched once they are wanted. */
  line(number: number): Line | undefined {
    return (
      this.#whole.get(number) ??
      this.#open.get(number) ??
      this.#blocks.get(blockOf(number))?.[(number - 1) % BLOCK]
    )
  }

  /** Reports whether a line has been fetched, or whether the hub has no text for it. */
  isHere = (number: number): boolean => this.line(number) !== undefined || this.#absent.has(blockOf(number))

  /** Takes the lines in view: fetches them, and then the lines that a scroll would bring next. */
  want(numbers: readonly number[]): void {
    const [first = 1, last = 0] = [numbers[0], numbers.at(-1)]
    this.#requested = [...numbers, last + BLOCK / 2, Math.max(1, first - BLOCK / 2)]
    void this.#fetch()
  }

  /** Takes whether the run reports the attempt as running. When it no longer does, the rest is fetched. */
  setRunning(running: boolean): void {
    this.#running = running
    void this.#refresh()
  }

  /** Fetches the whole of a line, up to 1 MiB. */
  async showWhole(number: number): Promise<void> {
    const query = { from: number, to: number, cut: MOST_BYTES }
    const { lines } = await this.#ask(query)
    if (lines[0] !== undefined) this.#whole.set(number, lines[0])
    this.#changed()
  }

  /** Tries again after a failure. */
  again(): void {
    void this.#refresh()
    void this.#fetch()
  }

  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }

  stop(): void {
    this.#stop.abort()
    clearTimeout(this.#retry)
    this.#unwatch()
  }

  #ask(query: Record<string, number>): Promise<Lines> {
    return ask<Lines>('GET', this.#path, { query, signal: this.#stop.signal })
  }

  get #isBehind(): boolean {
    if (!this.isKnown || this.behind !== undefined) return true
    const chunks = this.#feed.chunks(this.#attempt)
    const reported = (['stdout', 'stderr'] as const).reduce((sum, stream) => {
      const last = chunks.findLast((chunk) => chunk.stream === stream)
      return sum + (last === undefined ? 0 : last.offset + last.length)
    }, 0)
    return reported > this.#bytes || (!this.#running && !this.ended)
  }

  /** Fetches new lines; one request at a time. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      for (let tries = 0; this.#isBehind && tries < 3 && !this.#stop.signal.aborted; ) {
        const before = this.#bytes
        const isFirst = !this.isKnown || this.behind !== undefined
        this.#take(await this.#ask(isFirst ? { tail: BLOCK, cut: CUT_BYTES } : this.#after()))
        const isNews = this.#bytes > before || this.behind !== undefined
        tries = isNews ? 0 : tries + 1
        if (isNews) this.#newsMs = AGAIN_MS
        await new Promise((resolve) => setTimeout(resolve, REFRESH_MS))
      }
      this.#answered()
      // The next event may be far away, and the last lines must not wait for it.
      if (!this.#isBehind) return
      this.#askLater(this.#newsMs)
      this.#newsMs = Math.min(2 * this.#newsMs, MOST_NEWS_MS)
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#refreshing = false
    }
  }

  /**
   * Asks for the end of the new lines, however many there are: the visible end of a followed log arrives together
   * with the log's length.
   */
  #after = () => ({ from: Math.min(this.total + 1, ...this.#open.keys()), tail: BLOCK, cut: CUT_BYTES })

  /** Fetches the lines in view, block by block. */
  async #fetch(): Promise<void> {
    if (this.#fetching) return
    this.#fetching = true
    try {
      for (let from = this.#firstMissing(); from !== undefined && !this.#stop.signal.aborted; ) {
        const { lines } = await this.#ask({ from, limit: BLOCK, cut: CUT_BYTES })
        // The log may be longer by now; its length comes with the lines at its end.
        for (const line of lines) if (line.number <= this.total) this.#put(line)
        const next = this.#firstMissing()
        if (next === from) this.#absent.add(blockOf(from))
        else this.#absent.delete(blockOf(from))
        this.#dropBlocks()
        this.#changed()
        if (next === from) break
        from = next
      }
      this.#answered()
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#fetching = false
    }
  }

  #firstMissing(): number | undefined {
    for (const number of this.#requested)
      if (number <= this.total && (this.line(number) === undefined || this.#stale.has(number)))
        return blockOf(number) * BLOCK + 1
    return undefined
  }

  #take({ lines, open, total, ended, bytes, last_stderr, behind, missing_bytes }: Lines): void {
    if (total >= this.total && bytes >= this.#bytes) {
      const isOpen = new Set(open.map(({ number }) => number))
      for (const line of this.#open.values()) {
        if (isOpen.has(line.number)) continue
        this.#put(line)
        this.#stale.add(line.number)
      }
      this.#open.clear()
      for (const line of open) this.#open.set(line.number, line)
      this.total = total
      this.#bytes = bytes
      this.ended = ended
      this.lastStderr = last_stderr
      this.behind = behind
      this.missing = missing_bytes ?? 0
      this.isKnown = true
    }
    for (const line of lines) this.#put(line)
    this.#dropBlocks()
    this.#changed()
    if (this.#firstMissing() !== undefined) void this.#fetch()
  }

  #put(line: Line): void {
    const name = blockOf(line.number)
    const block = this.#blocks.get(name) ?? []
    // Move the block to the end: the least recently written one is dropped first.
    this.#blocks.delete(name)
    this.#blocks.set(name, block)
    block[(line.number - 1) % BLOCK] = line
    this.#stale.delete(line.number)
    if (isGroupMark(line.text)) this.lastMark = Math.max(this.lastMark, line.number)
  }

  /** Drops the oldest blocks that are not in view. */
  #dropBlocks(): void {
    if (this.#blocks.size <= MOST_BLOCKS) return
    const inView = new Set(this.#requested.map(blockOf))
    for (const name of this.#blocks.keys()) {
      if (this.#blocks.size <= MOST_BLOCKS) return
      if (!inView.has(name)) this.#blocks.delete(name)
    }
  }

  #answered(): void {
    if (this.failure === undefined) return
    this.failure = undefined
    this.#changed()
  }

  #failed(error: unknown): void {
    if (this.#stop.signal.aborted) return
    this.failure = error
    // The log of a waiting attempt may get no more output, and so no event that would trigger the next request.
    if (!(error instanceof ApiError) || error.status === 0) this.#askLater(AGAIN_MS)
    this.#changed()
  }

  #askLater(ms: number): void {
    if (this.#stop.signal.aborted) return
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.again()
    }, ms)
  }

  #changed(): void {
    this.version++
    for (const watcher of this.#watchers) watcher()
  }
}
