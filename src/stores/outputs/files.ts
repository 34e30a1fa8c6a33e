import { statSync } from 'node:fs'
import { rm, truncate } from 'node:fs/promises'
import path from 'node:path'
import type { StreamEnd, StreamName } from '../../contract/attempt.ts'
import { RunId } from '../../contract/ids.ts'
import type { OutputStore } from '../../engine/ports.ts'
import { diskError } from '../disk-errors.ts'
import { OpenFiles, PRIVATE_FOLDER } from './open-files.ts'
import { EMPTY_STREAM, newBytes, StreamFile, streamPlace } from './stream-file.ts'

const MAX_OPEN_FILES = 256

/**
 * Stores a hub's outputs: `<dir>/<run id>/<attempt number>.<stream>`. Stored bytes outlive this process: a stream's
 * length is that of its file.
 */
export class FileOutputStore implements OutputStore {
  readonly #dir: string
  readonly #files: OpenFiles
  /** Streams that were written here and are not sealed yet, by file. */
  readonly #streams = new Map<string, StreamFile>()

  /** The folder is created with the first output. */
  constructor(options: { dir: string; maxOpenFiles?: number }) {
    this.#dir = path.resolve(options.dir)
    this.#files = new OpenFiles(options.maxOpenFiles ?? MAX_OPEN_FILES, PRIVATE_FOLDER)
  }

  /** Limits and folders in the args concern only the runner. */
  begin(): void {}

  async append(attemptId: string, stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    const file = this.#file(attemptId, stream)
    const stored = this.#length(file)
    const fresh = newBytes(attemptId, stream, stored, offset, bytes)
    if (fresh.length === 0) return stored
    const target = this.#stream(file, stored)
    await target.append(fresh)
    return target.length
  }

  async length(attemptId: string, stream: StreamName): Promise<number> {
    return this.#length(this.#file(attemptId, stream))
  }

  /** Cuts off what was not synced: a partly synced file has zeros in place of the rest. The sender still has it. */
  async recover(attemptId: string, stream: StreamName, syncedBytes: number): Promise<number> {
    const file = this.#file(attemptId, stream)
    const length = this.#length(file)
    if (length <= syncedBytes) return length
    try {
      await truncate(file, syncedBytes)
    } catch (error) {
      throw diskError(error, file)
    }
    return syncedBytes
  }

  async sync(attemptId: string, stream: StreamName): Promise<void> {
    const file = this.#file(attemptId, stream)
    const length = this.#length(file)
    // Covers what an earlier process wrote, too, since nobody knows whether it was synced.
    if (length > 0) await this.#stream(file, length).sync()
  }

  async read(attemptId: string, stream: StreamName, start: number, end: number): Promise<Buffer> {
    const file = this.#file(attemptId, stream)
    const length = this.#length(file)
    if (start >= Math.min(end, length)) return Buffer.alloc(0)
    const source = this.#streams.get(file) ?? new StreamFile(this.#files, file, { kept: length })
    return source.read(start, Math.min(end, length))
  }

  async seal(attemptId: string, stream: StreamName): Promise<StreamEnd> {
    const file = this.#file(attemptId, stream)
    const length = this.#length(file)
    const end = length === 0 ? EMPTY_STREAM : await this.#stream(file, length).seal()
    this.#streams.delete(file)
    return end
  }

  async remove(runId: string): Promise<void> {
    if (!RunId.safeParse(runId).success) return
    const folder = path.join(this.#dir, runId)
    await this.#files.closeBelow(folder)
    for (const file of [...this.#streams.keys()])
      if (path.dirname(file) === folder) this.#streams.delete(file)
    await rm(folder, { recursive: true, force: true }).catch((error) => {
      throw diskError(error, folder)
    })
  }

  async close(): Promise<void> {
    await this.#files.closeAll()
  }

  #file(attemptId: string, stream: StreamName): string {
    const { runId, file } = streamPlace(attemptId, stream)
    return path.join(this.#dir, runId, file)
  }

  #length(file: string): number {
    const known = this.#streams.get(file)
    if (known !== undefined) return known.length
    try {
      return statSync(file, { throwIfNoEntry: false })?.size ?? 0
    } catch (error) {
      throw diskError(error, file)
    }
  }

  #stream(file: string, length: number): StreamFile {
    const known = this.#streams.get(file)
    if (known !== undefined) return known
    const stream = new StreamFile(this.#files, file, { kept: length })
    this.#streams.set(file, stream)
    return stream
  }
}
