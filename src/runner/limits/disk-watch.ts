import type { Dir, Dirent, Stats } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { type Breach, diskFull } from './limiter.ts'

const FIRST_MS = 500
const LAST_MS = 5_000
/** Counting may take one part in this many of the time. */
const SHARE = 20

export interface DiskWatchOptions {
  folder: string
  limitBytes: number
  /** Counts only what is added after the start: for folders that are not the run's own. */
  growth: boolean
}

/** Measures a workspace at intervals, less often the longer it takes. */
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

  /** Measures what is there before the attempt begins; otherwise the first look does that. */
  async prepare(): Promise<void> {
    if (this.#before === undefined) await this.#look()
  }

  start(): void {
    if (this.#timer === undefined && !this.#stop.signal.aborted)
      this.#again(this.#before === undefined ? 0 : FIRST_MS)
  }

  /** Measures once more, so that an attempt that ended quickly is held to its limit too. */
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
  /** Size at which counting may stop, since larger makes no difference. */
  enoughBytes: number
  /**
   * Least bytes that each file name and each folder counts, for a folder whose owner would gain from uncounted content.
   * A path too long for the system then counts as Infinity, and unreadable content is an error. Default: each counts
   * its actual size.
   */
  leastBytes?: number
}

/**
 * Returns the size of everything in a folder, in bytes on the disk. The content of a file with several names counts
 * once; links are not followed.
 */
export async function folderSize(
  folder: string,
  { signal, enoughBytes, leastBytes }: FolderSizeOptions,
): Promise<number> {
  const seen = new Set<string>()
  let bytes = 0
  // Names are bytes: a name that is not UTF-8 would not be found again by its text.
  const left = [Buffer.from(folder)]
  const unless = (error: NodeJS.ErrnoException): undefined => {
    if (leastBytes !== undefined && error.code === 'EACCES') throw error
    if (leastBytes !== undefined && error.code === 'ENAMETOOLONG') bytes = Number.POSITIVE_INFINITY
  }
  const counted = ({ dev, ino, nlink, blocks }: Stats, entry: Dirent<Buffer>): number => {
    const least = leastBytes ?? 0
    const name = `${dev} ${ino}`
    // An additional name takes room in its folder too.
    if (seen.has(name)) return least
    if (nlink > 1 && !entry.isDirectory()) seen.add(name)
    return Math.max(blocks * 512, least)
  }
  while (left.length > 0 && !signal.aborted && bytes <= enoughBytes) {
    const path = left.pop()!
    try {
      // The folder changes while it is counted: what is gone meanwhile counts nothing.
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

/** Lists a folder a few entries at a time, since it may have any number. The types do not know names as bytes. */
const entriesOf = async (path: Buffer): Promise<AsyncIterable<Dirent<Buffer>>> => {
  const folder: Dir = await opendir(path, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 })
  return folder as unknown as AsyncIterable<Dirent<Buffer>>
}
