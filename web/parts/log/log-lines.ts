import type { Line, Lines } from '../../../src/contract/run-api.ts'
import { ApiError, ask } from '../../data/api.ts'
import type { RunFeed } from '../../data/run-feed.ts'
import { isGroupMark } from './log-groups.ts'

/** Lines that are fetched at once, and how many such blocks are kept. */
const BLOCK = 200
const MOST_BLOCKS = 100
/** Of a longer line only so many bytes come at first, and so many when all of it is asked for. */
const CUT_BYTES = 2048
const MOST_BYTES = 1024 * 1024
const REFRESH_MS = 100
/** After a request that got no answer. */
const AGAIN_MS = 2_000

export const linesPath = (run: string, attempt: number) =>
  `/api/runs/${encodeURIComponent(run)}/attempts/${attempt}/lines`

/** The lines of one attempt's log: its end first, others when they are looked at, and new ones as they come. */
export class LogLines {
  total = 0
  /** Something has been answered. */
  isKnown = false
  ended = false
  lastStderr: { from: number; to: number } | undefined
  /** How much of a long log the hub has counted. */
  behind: Lines['behind']
  missing = 0
  failure: unknown
  version = 0
  #bytes = 0
  /** The last line that is here and begins or ends a group. */
  lastMark = 0
  #wanted: readonly number[] = []
  #fetching = false
  #refreshing = false
  #running = true
  #retry: ReturnType<typeof setTimeout> | undefined
  readonly #blocks = new Map<number, Line[]>()
  readonly #open = new Map<number, Line>()
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

  /** A line where it is here; those that are not come once they are wanted. */
  line(number: number): Line | undefined {
    const index = number - 1
    return (
      this.#whole.get(number) ??
      this.#open.get(number) ??
      this.#blocks.get(Math.floor(index / BLOCK))?.[index % BLOCK]
    )
  }

  /** Says which lines are in view: they are fetched. */
  want(numbers: readonly number[]): void {
    this.#wanted = numbers
    void this.#fetch()
  }

  /** Whether the attempt runs as its run tells: when it no longer does, what is left is fetched. */
  setRunning(running: boolean): void {
    this.#running = running
    void this.#refresh()
  }

  /** Fetches all of a line, up to a MiB. */
  async showWhole(number: number): Promise<void> {
    const query = { from: number, to: number, cut: MOST_BYTES }
    const { lines } = await this.#ask(query)
    if (lines[0] !== undefined) this.#whole.set(number, lines[0])
    this.#changed()
  }

  /** After a failure. */
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
    const told = (['stdout', 'stderr'] as const).reduce((sum, stream) => {
      const last = chunks.findLast((chunk) => chunk.stream === stream)
      return sum + (last === undefined ? 0 : last.offset + last.length)
    }, 0)
    return told > this.#bytes || (!this.#running && !this.ended)
  }

  /** Fetches what has come since; one request at a time. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      for (let tries = 0; this.#isBehind && tries < 3 && !this.#stop.signal.aborted; ) {
        const before = this.#bytes
        const isFirst = !this.isKnown || this.behind !== undefined
        this.#take(await this.#ask(isFirst ? { tail: BLOCK, cut: CUT_BYTES } : this.#after()))
        // A hub that knows no more than it did is asked again with the next event.
        tries = this.#bytes > before || this.behind !== undefined ? 0 : tries + 1
        await new Promise((resolve) => setTimeout(resolve, REFRESH_MS))
      }
      this.#answered()
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#refreshing = false
    }
  }

  #after = () => ({ from: this.total + 1, limit: BLOCK, cut: CUT_BYTES })

  /** Fetches what is in view, block by block. */
  async #fetch(): Promise<void> {
    if (this.#fetching) return
    this.#fetching = true
    try {
      for (let from = this.#firstMissing(); from !== undefined && !this.#stop.signal.aborted; ) {
        const { lines, ...rest } = await this.#ask({ from, limit: BLOCK, cut: CUT_BYTES })
        this.#take({ lines, ...rest })
        const next = this.#firstMissing()
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
    for (const number of this.#wanted)
      if (number <= this.total && this.line(number) === undefined)
        return Math.floor((number - 1) / BLOCK) * BLOCK + 1
    return undefined
  }

  #take({ lines, open, total, ended, bytes, last_stderr, behind, missing_bytes }: Lines): void {
    for (const line of lines) this.#put(line)
    // What is open no longer may have grown since: it is asked for anew.
    const isOpen = new Set(open.map(({ number }) => number))
    if (total >= this.total && bytes >= this.#bytes) {
      for (const [number] of this.#open) if (!isOpen.has(number)) this.#forget(number)
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
    while (this.#blocks.size > MOST_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!)
    this.#changed()
    if (this.#firstMissing() !== undefined) void this.#fetch()
  }

  #put(line: Line): void {
    const index = line.number - 1
    const name = Math.floor(index / BLOCK)
    const block = this.#blocks.get(name) ?? []
    // The latest is dropped last.
    this.#blocks.delete(name)
    this.#blocks.set(name, block)
    block[index % BLOCK] = line
    if (isGroupMark(line.text)) this.lastMark = Math.max(this.lastMark, line.number)
  }

  #forget(number: number): void {
    delete this.#blocks.get(Math.floor((number - 1) / BLOCK))?.[(number - 1) % BLOCK]
  }

  #answered(): void {
    if (this.failure === undefined) return
    this.failure = undefined
    this.#changed()
  }

  #failed(error: unknown): void {
    if (this.#stop.signal.aborted) return
    this.failure = error
    // Nothing more may come of a log that waits, and with it no news that would ask again.
    if (!(error instanceof ApiError) || error.status === 0)
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined
        this.again()
      }, AGAIN_MS)
    this.#changed()
  }

  #changed(): void {
    this.version++
    for (const watcher of this.#watchers) watcher()
  }
}
