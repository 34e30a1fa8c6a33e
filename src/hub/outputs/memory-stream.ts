import { hash } from 'node:crypto'
import type { StreamEnd } from '../../contract/attempt.ts'

const FIRST_BYTES = 1024

/** One stream in memory, in one block that grows: a byte at a time must not cost an object a byte. */
export class MemoryStream {
  #block = Buffer.alloc(0)
  #length = 0

  get length(): number {
    return this.#length
  }

  append(bytes: Buffer): void {
    const length = this.#length + bytes.length
    if (length > this.#block.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, length, this.#block.length * 2))
      this.#block.copy(grown, 0, 0, this.#length)
      this.#block = grown
    }
    bytes.copy(this.#block, this.#length)
    this.#length = length
  }

  /** A view: what is written is never changed. */
  read(start: number, end: number): Buffer {
    return this.#block.subarray(start, end)
  }

  /** Loading what hashes would take a short command a tenth of its time. */
  seal(hashed: boolean): StreamEnd {
    if (!hashed) return { length: this.#length }
    return { length: this.#length, sha256: hash('sha256', this.read(0, this.#length), 'hex') }
  }
}
