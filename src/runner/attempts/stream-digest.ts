import { createHash } from 'node:crypto'
import type { StreamEnd } from '../../contract/attempt.ts'
import type { TailFile } from '../../platform/tail-file.ts'
import type { MaskedFile } from './masked-file.ts'

const CHUNK_BYTES = 256 * 1024

/** Reads a growing file once, in order, while it grows: to mask it, for its SHA-256, and for `onBytes`. */
export class StreamDigest {
  readonly #file: TailFile
  readonly #masked: MaskedFile | undefined
  readonly #onBytes: (chunk: Buffer) => void
  readonly #hash = createHash('sha256')
  #done = 0
  #length = 0
  #running: Promise<void> | undefined
  #stopped = false

  /** With `masked`, the SHA-256 and `onBytes` are of what that makes of it. */
  constructor(file: TailFile, masked: MaskedFile | undefined, onBytes: (chunk: Buffer) => void) {
    this.#file = file
    this.#masked = masked
    this.#onBytes = onBytes
  }

  /** There is more to read. An error is kept for `finish`. */
  advance(): void {
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined
    })
    this.#running.catch(() => undefined)
  }

  /** Resolves when what is under way is read. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined)
  }

  /** The file is frozen: reads the rest. Rejects where the file cannot be read to its size. */
  async finish(): Promise<StreamEnd> {
    await this.#running
    await this.#read()
    if (this.#masked) this.#take(await this.#masked.end())
    return { length: this.#length, sha256: this.#hash.digest('hex') }
  }

  stop(): void {
    this.#stopped = true
  }

  async #read(): Promise<void> {
    while (this.#done < this.#file.size && !this.#stopped) {
      const chunk = await this.#file.read(this.#done, CHUNK_BYTES)
      if (chunk.length === 0) throw new Error(`${this.#file.path} is shorter than it was`)
      this.#done += chunk.length
      this.#take(this.#masked ? await this.#masked.push(chunk) : chunk)
    }
  }

  #take(chunk: Buffer): void {
    this.#hash.update(chunk)
    this.#length += chunk.length
    this.#onBytes(chunk)
  }
}
