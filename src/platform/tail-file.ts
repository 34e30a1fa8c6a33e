import { closeSync, fstatSync, openSync, read as readCallback, readSync } from 'node:fs'
import { promisify } from 'node:util'

const readAsync = promisify(readCallback)

/** Below this size the page cache serves a read faster than the thread pool would. */
const SMALL_READ_BYTES = 64 * 1024

/**
 * A file of at least this size that occupies less than a small part of its length on disk was never written: somebody
 * with write access set its length to make others read hundreds of gigabytes of zeros. Compressing file systems stay
 * far above that part.
 */
const HOLLOW_FROM_BYTES = 1024 ** 3
const HOLLOW_PARTS = 64

/** A file that others append to, read by position. */
export class TailFile {
  readonly path: string
  /** Bytes known to be there; `refresh` checks again. Never beyond a `freeze`. */
  size = 0
  #fd: number | undefined
  #reads = 0
  #frozen = false

  /** Creates the file when it is missing, readable only by its owner. */
  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'a+', 0o600)
    this.refresh()
  }

  /** A descriptor to pass to a process as its output; it appends. */
  get fd(): number {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`)
    return this.#fd
  }

  /** Returns true when the file has grown. */
  refresh(): boolean {
    if (this.#frozen || this.#fd === undefined) return false
    const { size, blocks } = fstatSync(this.#fd)
    if (size <= this.size) return false
    if (size > HOLLOW_FROM_BYTES && blocks * 512 < size / HOLLOW_PARTS) return false
    this.size = size
    return true
  }

  /** Fixes `size` from here on, whatever is still appended. */
  freeze(size?: number): void {
    if (size === undefined) this.refresh()
    else this.size = size
    this.#frozen = true
  }

  /** Reads at most `max` bytes from `offset`, up to `size`. */
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

  /** Closes the descriptor once running reads are done; later reads open the file again. */
  close(): void {
    const fd = this.#fd
    this.#fd = undefined
    if (fd !== undefined && this.#reads === 0) closeSync(fd)
  }
}
