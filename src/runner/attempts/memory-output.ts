import { createHash } from 'node:crypto'
import { closeSync, constants, mkdirSync, openSync, write as writeCallback } from 'node:fs'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { AttemptSpec, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { TailFile } from '../../platform/tail-file.ts'
import type { Masker } from '../masking/masker.ts'
import type { OutputPart } from '../ports.ts'
import type { AttemptOutput } from './measured-end.ts'
import { OutputOrder } from './output-order.ts'
import { PushedOutput } from './pushed-output.ts'

const writeAsync = promisify(writeCallback)

/** Bytes of a stream in memory; beyond this the stream moves to a file. */
const MAX_MEMORY_BYTES = 1024 * 1024

export interface MemoryOutputOptions {
  spec: AttemptSpec
  /** Masker of the output; undefined if nothing in it is hidden. */
  masker: Masker | undefined
  /** Folder that is created only for output too large for memory. */
  folder: string
}

/** Stores the output of an attempt that ends with this process, in memory while it is small. */
export class MemoryOutput implements AttemptOutput {
  readonly #streams: Readonly<Record<StreamName, MemoryStream>>
  readonly #order = new OutputOrder()
  readonly #pushed: PushedOutput
  #grown = false
  #frozen = false

  constructor({ spec, masker, folder }: MemoryOutputOptions) {
    this.#streams = {
      stdout: new MemoryStream(join(folder, 'stdout')),
      stderr: new MemoryStream(join(folder, 'stderr')),
    }
    this.#pushed = new PushedOutput(spec, masker, (stream, bytes) => this.#keep(stream, bytes))
  }

  get values() {
    return this.#pushed.values
  }
  get lastErrorLine(): string | undefined {
    return this.#pushed.lastErrorLine
  }
  get hidden(): boolean {
    return this.#pushed.hidden
  }

  /** Adds bytes, one call at a time. Rejects with `disk_full` if they cannot be stored. */
  async push(stream: StreamName, bytes: Buffer): Promise<void> {
    await this.#pushed.push(stream, bytes)
  }

  /** Ends the output, like `PushedOutput.end`. */
  async end(): Promise<void> {
    await this.#pushed.end()
  }

  length(stream: StreamName): number {
    return this.#streams[stream].length
  }

  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    return this.#order.next(known)
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await this.#streams[stream].read(offset, max)
  }

  refresh(): boolean {
    const grown = this.#grown
    this.#grown = false
    return grown
  }

  freeze(): void {
    this.#frozen = true
  }

  async finish(): Promise<Record<StreamName, StreamEnd>> {
    return { stdout: this.#streams.stdout.end(), stderr: this.#streams.stderr.end() }
  }

  async placeAt(stream: StreamName, target: string): Promise<void> {
    await this.#streams[stream].copyTo(target)
  }

  close(): void {
    for (const stream of Object.values(this.#streams)) stream.close()
  }

  async remove(): Promise<void> {
    await Promise.all(Object.values(this.#streams).map((stream) => stream.remove()))
  }

  async #keep(stream: StreamName, bytes: Buffer): Promise<void> {
    if (this.#frozen) return
    try {
      await this.#streams[stream].append(bytes)
    } catch (cause) {
      throw new ErrandError('disk_full', `Its output could not be stored: ${(cause as Error).message}.`, {
        cause,
      })
    }
    this.#order.extend(stream, bytes.length)
    this.#grown = true
  }
}

/** Stores one stream: in memory while it is small, then in a file. */
class MemoryStream {
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

  /** Appends bytes, one call at a time. Rejects if the file cannot be written. */
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
    return { length: this.#length, sha256: this.#hash.digest('hex') }
  }

  async copyTo(target: string): Promise<void> {
    if (this.#spilled === undefined) await writeFile(target, Buffer.concat(this.#chunks), { flag: 'wx' })
    else await copyFile(this.#file, target, constants.COPYFILE_EXCL)
  }

  close(): void {
    this.#spilled?.close()
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
