import { closeSync, fstatSync, openSync, read as readCallback, readSync } from 'node:fs'
import { promisify } from 'node:util'

const readAsync = promisify(readCallback)

/** Below this a read is served by the page cache faster than by a trip to the thread pool. */
const SMALL_READ_BYTES = 64 * 1024

/**
 * A file of this size of which the disk holds less than one part of so many was never written: whoever may write to it has set
 * its length, to have others read hundreds of gigabytes of nothing. File systems that compress do not come near that.
 */
const HOLLOW_FROM_BYTES = 1024 ** 3
const HOLLOW_PARTS = 64

/** A file that others append to, read by position. */
export class TailFile {
  readonly path: string
  /** Bytes known to be there; `refresh` looks again. Never beyond a `freeze`. */
  size = 0
  #fd: number | undefined
  #reads = 0
  #frozen = false

  /** Created where it is not there, readable by its owner only. */
  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'a+', 0o600)
    this.refresh()
  }

  /** To hand to a process as its output; appends. */
  get fd(): number {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`)
    return this.#fd
  }

  /** True: it has grown. */
  refresh(): boolean {
    if (this.#frozen || this.#fd === undefined) return false
    const { size, blocks } = fstatSync(this.#fd)
    if (size <= this.size) return false
    if (size > HOLLOW_FROM_BYTES && blocks * 512 < size / HOLLOW_PARTS) return false
    this.size = size
    return true
  }

  /** From here on `size` stands, whatever is still appended. */
  freeze(size?: number): void {
    if (size === undefined) this.refresh()
    else this.size = size
    this.#frozen = true
  }

  /** At most `max` bytes from `offset`, cut at `size`. */
  async read(offset: number, max: number): Promise<Buffer> {
    const length = Math.min(max, this.size - offset)
    if (length <= 0) return Buffer.alloc(0)
    const fd = this.#fd ?? openSync(this.path, 'r')
    const borrowed = fd === this.#fd
    this.#reads += borrowed ? 1 : 0
    try {
      const buffer = Buffer.allocUnsafe(length)
      const bytesRead =
        length <= SMALL_READ_BYTES
          ? readSync(fd, buffer, 0, length, offset)
          : (await readAsync(fd, buffer, 0, length, offset)).bytesRead
      return buffer.subarray(0, bytesRead)
    } finally {
      if (!borrowed) closeSync(fd)
      else if (--this.#reads === 0 && this.#fd === undefined) closeSync(fd)
    }
  }

  /** Lets go of the descriptor once reads that run are through; later reads open the file anew. */
  close(): void {
    const fd = this.#fd
    this.#fd = undefined
    if (fd !== undefined && this.#reads === 0) closeSync(fd)
  }
}
