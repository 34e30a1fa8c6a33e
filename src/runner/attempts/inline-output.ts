import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, write as writeCallback } from 'node:fs'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { StreamEnd } from '../../contract/attempt.ts'
import { TailFile } from '../../platform/tail-file.ts'

const writeAsync = promisify(writeCallback)

/** Beyond this an inline action's output goes to a file. */
export const MAX_MEMORY_BYTES = 1024 * 1024

/** One stream of an inline action: in memory while it is small, then in a file. */
export class InlineOutput {
  readonly #file: string
  readonly #hash = createHash('sha256')
  #chunks: Buffer[] = []
  #spilled: TailFile | undefined
  #length = 0

  constructor(file: string) {
    this.#file = file
  }

  get length(): number {
    return this.#length
  }

  /** One call at a time. Rejects where the file cannot be written. */
  async append(bytes: Buffer): Promise<void> {
    if (this.#spilled === undefined && this.#length + bytes.length > MAX_MEMORY_BYTES) await this.#spill()
    if (this.#spilled === undefined) this.#chunks.push(Buffer.from(bytes))
    else await this.#write(this.#spilled, bytes)
    this.#hash.update(bytes)
    this.#length += bytes.length
  }

  async read(offset: number, max: number): Promise<Buffer> {
    if (this.#spilled !== undefined)
      return await this.#spilled.read(offset, Math.min(max, this.#length - offset))
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all.subarray(offset, offset + max)
  }

  end(): StreamEnd {
    this.#spilled?.close()
    return { length: this.#length, sha256: this.#hash.digest('hex') }
  }

  async copyTo(target: string): Promise<void> {
    if (this.#spilled === undefined) await writeFile(target, Buffer.concat(this.#chunks))
    else await copyFile(this.#file, target)
  }

  async remove(): Promise<void> {
    if (this.#spilled === undefined) return
    this.#spilled.close()
    await rm(dirname(this.#file), { recursive: true, force: true })
  }

  async #spill(): Promise<void> {
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
    closeSync(openSync(this.#file, 'w', 0o600))
    const file = new TailFile(this.#file)
    await this.#write(file, Buffer.concat(this.#chunks))
    this.#spilled = file
    this.#chunks = []
  }

  async #write(file: TailFile, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) at += (await writeAsync(file.fd, bytes, at)).bytesWritten
    file.refresh()
  }
}
