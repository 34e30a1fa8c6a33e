import { createHash } from 'node:crypto'
import type { StreamEnd } from '../../contract/attempt.ts'
import type { TailFile } from '../../platform/tail-file.ts'

const CHUNK_BYTES = 256 * 1024

/** Reads a growing file once, in order, while it grows: for its SHA-256, and for `onBytes`. */
export class StreamDigest {
  readonly #file: TailFile
  readonly #onBytes: ((chunk: Buffer) => void) | undefined
  readonly #hash = createHash('sha256')
  #done = 0
  #running: Promise<void> | undefined
  #stopped = false

  constructor(file: TailFile, onBytes?: (chunk: Buffer) => void) {
    this.#file = file
    this.#onBytes = onBytes
  }

  /** There is more to read. An error is kept for `finish`. */
  advance(): void {
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined
    })
    this.#running.catch(() => undefined)
  }

  /** The file is frozen: reads the rest. Rejects where the file cannot be read to its size. */
  async finish(): Promise<StreamEnd> {
    await this.#running
    await this.#read()
    return { length: this.#done, sha256: this.#hash.digest('hex') }
  }

  stop(): void {
    this.#stopped = true
  }

  async #read(): Promise<void> {
    while (this.#done < this.#file.size && !this.#stopped) {
      const chunk = await this.#file.read(this.#done, CHUNK_BYTES)
      if (chunk.length === 0) throw new Error(`${this.#file.path} is shorter than it was`)
      this.#hash.update(chunk)
      this.#onBytes?.(chunk)
      this.#done += chunk.length
    }
  }
}
