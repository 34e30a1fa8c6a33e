import type { Dir, Dirent, Stats } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { type Breach, diskFull } from './limiter.ts'

const FIRST_MS = 500
const LAST_MS = 5_000
/** Of the time, the part that counting may take. */
const SHARE = 20

export interface DiskWatchOptions {
  folder: string
  limitBytes: number
  /** Only what comes on top of what is there at the start counts: for folders that are not the run's own. */
  growth: boolean
}

/** Counts a workspace now and then, rarer the longer it takes. */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  readonly #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #before: number | undefined
  #intervalMs = FIRST_MS
  breach: Breach | undefined

  constructor(options: DiskWatchOptions) {
    this.#options = options
    if (!options.growth) this.#before = 0
  }

  /** Counts what is there before it begins; otherwise the first look counts that. */
  async prepare(): Promise<void> {
    if (this.#before === undefined) await this.#look()
  }

  start(): void {
    if (this.#timer === undefined && !this.#stop.signal.aborted)
      this.#again(this.#before === undefined ? 0 : FIRST_MS)
  }

  /** Counts once more: what ended quickly is held to its limit too. */
  async last(): Promise<Breach | undefined> {
    clearTimeout(this.#timer)
    if (this.breach === undefined && this.#before !== undefined) await this.#look()
    this.stop()
    return this.breach
  }

  stop(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
  }

  #again(inMs: number): void {
    this.#timer = setTimeout(() => {
      const began = performance.now()
      void this.#look().then(() => {
        this.#intervalMs = Math.min(this.#intervalMs * 1.5, LAST_MS)
        const tookMs = performance.now() - began
        if (!this.#stop.signal.aborted && this.breach === undefined)
          this.#again(Math.max(this.#intervalMs, tookMs * SHARE))
      })
    }, inMs).unref()
  }

  async #look(): Promise<void> {
    const { folder, limitBytes } = this.#options
    const enoughBytes = this.#before === undefined ? Infinity : this.#before + limitBytes
    const bytes = await folderSize(folder, { signal: this.#stop.signal, enoughBytes })
    if (this.#stop.signal.aborted) return
    if (this.#before === undefined) this.#before = bytes
    else if (bytes > enoughBytes) this.breach = diskFull(bytes - this.#before, limitBytes)
  }
}

export interface FolderSizeOptions {
  signal: AbortSignal
  /** Larger is all the same: it need not be counted to its end. */
  enoughBytes: number
  /**
   * Each name of a file and each folder counts so much at least, what has a path that is too long for the system is Infinity,
   * and what may not be looked at is an error: of a folder whose owner would gain by what is not counted. Default: each counts
   * what it has.
   */
  leastBytes?: number
}

/**
 * The size of all that stands in a folder, in bytes of the disk; the content of a file with several names counts once, links
 * are not followed.
 */
export async function folderSize(
  folder: string,
  { signal, enoughBytes, leastBytes }: FolderSizeOptions,
): Promise<number> {
  const seen = new Set<string>()
  let bytes = 0
  // Names are bytes: what is no UTF-8 would not be found again by its text.
  const left = [Buffer.from(folder)]
  const unless = (error: NodeJS.ErrnoException): undefined => {
    if (leastBytes !== undefined && error.code === 'EACCES') throw error
    if (leastBytes !== undefined && error.code === 'ENAMETOOLONG') bytes = Number.POSITIVE_INFINITY
  }
  const counted = ({ dev, ino, nlink, blocks }: Stats, entry: Dirent<Buffer>): number => {
    const least = leastBytes ?? 0
    const name = `${dev} ${ino}`
    // A further name takes room too, in its folder.
    if (seen.has(name)) return least
    if (nlink > 1 && !entry.isDirectory()) seen.add(name)
    return Math.max(blocks * 512, least)
  }
  while (left.length > 0 && !signal.aborted && bytes <= enoughBytes) {
    const path = left.pop()!
    try {
      // It changes while it is counted: what is gone meanwhile counts nothing.
      for await (const entry of await entriesOf(path)) {
        const file = Buffer.concat([path, SLASH, entry.name])
        if (entry.isDirectory()) left.push(file)
        const stat = await lstat(file).catch(unless)
        if (stat !== undefined) bytes += counted(stat, entry)
        if (bytes > enoughBytes || signal.aborted) break
      }
    } catch (error) {
      unless(error as NodeJS.ErrnoException)
    }
  }
  return bytes
}

const SLASH = Buffer.from('/')

/** A few at a time: a folder may have any number. The types know no names that are bytes here. */
const entriesOf = async (path: Buffer): Promise<AsyncIterable<Dirent<Buffer>>> => {
  const folder: Dir = await opendir(path, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 })
  return folder as unknown as AsyncIterable<Dirent<Buffer>>
}
