import { closeSync, existsSync, openSync, statSync, truncateSync, write as writeCallback } from 'node:fs'
import { appendFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { TailFile } from '../../platform/tail-file.ts'
import type { StreamMasker } from '../masking/masker.ts'

const writeAsync = promisify(writeCallback)
const COPY_BYTES = 1024 * 1024

/**
 * What of a file may leave this machine: up to the first secret the file itself, from there on a second one beside it.
 * So output without a secret is written once. All is made again from the first byte after a restart.
 */
export class MaskedFile {
  readonly #raw: TailFile
  readonly #path: string
  readonly #stream: StreamMasker | undefined
  /** So much of the file itself. */
  #plain = 0
  #second: TailFile | undefined
  #broken: unknown

  constructor(raw: TailFile, path: string, stream?: StreamMasker) {
    this.#raw = raw
    this.#path = path
    this.#stream = stream
  }

  /** One that was finished, of which so many bytes count. */
  static finished(raw: TailFile, path: string, length: number): MaskedFile {
    const file = new MaskedFile(raw, path)
    if (existsSync(path)) {
      file.#second = new TailFile(path)
      file.#second.freeze(Math.min(file.#second.size, length))
    }
    file.#plain = length - (file.#second?.size ?? 0)
    raw.freeze(file.#plain)
    return file
  }

  get length(): number {
    return this.#plain + (this.#second?.size ?? 0)
  }

  /** The next bytes of the file itself, in order, one call at a time; answers what they became. */
  async push(bytes: Buffer): Promise<Buffer> {
    return await this.#keep(this.#stream!.push(bytes))
  }

  /** Nothing follows. */
  async end(): Promise<Buffer> {
    return await this.#keep(this.#stream!.end())
  }

  async read(offset: number, max: number): Promise<Buffer> {
    const plainBytes = Math.max(0, Math.min(max, this.#plain - offset))
    const plain = await this.#raw.read(offset, plainBytes)
    if (!this.#second || plainBytes === max) return plain
    const rest = await this.#second.read(offset + plainBytes - this.#plain, max - plainBytes)
    return plainBytes === 0 ? rest : Buffer.concat([plain, rest])
  }

  /** Whether the file itself is all that may leave this machine. */
  get isPlain(): boolean {
    return this.#second === undefined
  }

  async copyTo(target: string): Promise<void> {
    await writeFile(target, '')
    for (let at = 0; at < this.length; ) {
      const bytes = await this.read(at, COPY_BYTES)
      if (bytes.length === 0) throw new Error(`${this.#path} is shorter than it was`)
      await appendFile(target, bytes)
      at += bytes.length
    }
  }

  /** At the end: takes away what may not leave this machine. */
  dropSecrets(): void {
    const { path } = this.#raw
    try {
      if (statSync(path).size > this.#plain) truncateSync(path, this.#plain)
    } catch {
      // It goes with its folder.
    }
  }

  close(): void {
    this.#second?.close()
  }

  async #keep(masked: Buffer): Promise<Buffer> {
    if (this.#broken !== undefined) throw this.#broken
    if (!this.#stream!.hidden) {
      this.#plain += masked.length
      return masked
    }
    try {
      this.#second ??= emptyFile(this.#path)
      for (let at = 0; at < masked.length; )
        at += (await writeAsync(this.#second.fd, masked, at)).bytesWritten
    } catch (error) {
      // The bytes are through the masker, and cannot be put through it again.
      this.#broken = error
      throw error
    }
    this.#second.refresh()
    return masked
  }
}

function emptyFile(path: string): TailFile {
  closeSync(openSync(path, 'w', 0o600))
  return new TailFile(path)
}
