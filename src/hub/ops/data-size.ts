import { lstat, readdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'

export interface FolderSize {
  bytes: number
  /** False if there is more than was counted. */
  is_whole: boolean
  free_bytes: number
}

/** Limits the number of files that are counted. */
const MOST_FILES = 200_000
/** Milliseconds that a size is cached. */
const CACHE_MS = 60_000

/** Measures the size of a folder on request, at most once a minute. */
export class DataSize {
  readonly #folder: string
  readonly #mostFiles: number
  #known: { size: Promise<FolderSize>; untilMs: number } | undefined

  constructor(folder: string, mostFiles = MOST_FILES) {
    this.#folder = folder
    this.#mostFiles = mostFiles
  }

  now(): Promise<FolderSize> {
    if (this.#known === undefined || this.#known.untilMs < performance.now()) {
      const size = this.#count()
      const known = { size, untilMs: performance.now() + CACHE_MS }
      this.#known = known
      size.catch(() => {
        if (this.#known === known) this.#known = undefined
      })
    }
    return this.#known.size
  }

  async #count(): Promise<FolderSize> {
    const { bavail, bsize } = await statfs(this.#folder)
    const folders = [this.#folder]
    let bytes = 0
    let files = 0
    while (folders.length > 0 && files <= this.#mostFiles) {
      const folder = folders.pop()!
      // Files that disappear meanwhile are not counted.
      for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
        const path = join(folder, entry.name)
        if (entry.isDirectory()) folders.push(path)
        else if (++files <= this.#mostFiles) bytes += (await lstat(path).catch(() => ({ size: 0 }))).size
      }
    }
    return { bytes, is_whole: files <= this.#mostFiles, free_bytes: bavail * bsize }
  }
}
