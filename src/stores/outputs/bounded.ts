import { hash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { DEFAULT_MAX_OUTPUT_BYTES } from '../../contract/actions.ts'
import type { AttemptSpec, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { outputFileName, RunId } from '../../contract/ids.ts'
import type { OutputStore } from '../../engine/ports.ts'
import { diskError } from '../disk-errors.ts'
import { OpenFiles, PRIVATE_FOLDER } from './open-files.ts'
import { EMPTY_STREAM, newBytes, StreamFile, streamPlace } from './stream-file.ts'

export interface BoundedOutputOptions {
  /** Folder for streams that outgrow memory: `<spillDir>/<run id>/<attempt number>.<stream>`. Created when needed. */
  spillDir: string
  /** The folder that `output_path` is relative to (default: this process's). */
  cwd?: string
  /** Most bytes of ended streams in memory, over all runs; beyond it the oldest move to `spillDir`. */
  maxEndedBytes?: number
}

type StoredStream = MemoryStream | StreamFile

const MAX_OPEN_FILES = 64
const MAX_ENDED_BYTES = 64 * 1024 * 1024

/**
 * Stores the outputs of runs without a hub. A stream is in memory up to `max_output_bytes` (default 1 MiB); a larger
 * one moves to a file as a whole, and one whose step has an `output_path` is in its file from the first byte. Knows
 * only what this process has written.
 */
export class BoundedOutputStore implements OutputStore {
  readonly #spillDir: string
  readonly #cwd: string
  readonly #maxEndedBytes: number
  /** Files below an `output_path`. */
  readonly #files = new OpenFiles(MAX_OPEN_FILES)
  /** Files below an `output_path` that boxed steps might redirect. */
  readonly #apart: OpenFiles
  readonly #spills = new OpenFiles(MAX_OPEN_FILES, PRIVATE_FOLDER)
  /** Attempts whose args concern output. */
  readonly #specs = new Map<string, AttemptSpec>()
  readonly #streams = new Map<string, StoredStream>()
  /** Ended streams in memory, oldest first. */
  readonly #ended = new Map<string, MemoryStream>()
  #endedBytes = 0

  constructor(options: BoundedOutputOptions) {
    this.#spillDir = path.resolve(options.spillDir)
    this.#cwd = options.cwd ?? process.cwd()
    this.#apart = new OpenFiles(MAX_OPEN_FILES, undefined, this.#cwd)
    this.#maxEndedBytes = options.maxEndedBytes ?? MAX_ENDED_BYTES
  }

  begin(spec: AttemptSpec): void {
    const { max_output_bytes, output_path } = spec.args
    if (max_output_bytes !== undefined || output_path !== undefined) this.#specs.set(spec.attempt_id, spec)
  }

  async append(attemptId: string, stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    const key = keyOf(attemptId, stream)
    const stored = this.#streams.get(key)
    const fresh = newBytes(attemptId, stream, stored?.length ?? 0, offset, bytes)
    if (fresh.length === 0) return stored?.length ?? 0
    const target = await this.#room(key, attemptId, stream, fresh.length)
    await target.append(fresh)
    return target.length
  }

  async length(attemptId: string, stream: StreamName): Promise<number> {
    return this.#streams.get(keyOf(attemptId, stream))?.length ?? 0
  }

  /** A local run needs nothing that outlasts its process. */
  async sync(): Promise<void> {}

  async read(attemptId: string, stream: StreamName, start: number, end: number): Promise<Buffer> {
    const stored = this.#streams.get(keyOf(attemptId, stream))
    if (stored === undefined || start >= Math.min(end, stored.length)) return Buffer.alloc(0)
    return stored.read(start, Math.min(end, stored.length))
  }

  async seal(attemptId: string, stream: StreamName, hashed: boolean): Promise<StreamEnd & { file?: string }> {
    const key = keyOf(attemptId, stream)
    const stored = this.#streams.get(key)
    if (stored === undefined) return EMPTY_STREAM
    if (stored instanceof StreamFile) return { ...(await stored.seal()), file: stored.file }
    const end = stored.seal(hashed)
    if (!this.#ended.has(key)) await this.#keepEnded(key, stored)
    return end
  }

  async remove(runId: string): Promise<void> {
    for (const [key, stored] of this.#streams) {
      if (streamPlace(...partsOf(key)).runId !== runId) continue
      if (stored instanceof StreamFile) await stored.close()
      this.#streams.delete(key)
      this.#forgetEnded(key)
    }
    for (const [attemptId, spec] of this.#specs) if (spec.run_id === runId) this.#specs.delete(attemptId)
    if (!RunId.safeParse(runId).success) return
    const folder = path.join(this.#spillDir, runId)
    await rm(folder, { recursive: true, force: true }).catch((error) => {
      throw diskError(error, folder)
    })
  }

  async close(): Promise<void> {
    await this.#files.closeAll()
    await this.#apart.closeAll()
    await this.#spills.closeAll()
  }

  /** Returns the storage of a stream, with room for this many more bytes. */
  async #room(key: string, attemptId: string, stream: StreamName, bytes: number): Promise<StoredStream> {
    const stored = this.#streams.get(key)
    if (stored instanceof StreamFile) return stored
    const spec = this.#specs.get(attemptId)
    const { output_path: folder, max_output_bytes: max } = spec?.args ?? {}
    if (stored === undefined && spec !== undefined && typeof folder === 'string')
      return this.#set(key, this.#placed(spec, path.resolve(this.#cwd, folder, outputFileName(spec, stream))))
    const limit = typeof max === 'number' ? max : DEFAULT_MAX_OUTPUT_BYTES
    if ((stored?.length ?? 0) + bytes > limit) return this.#spill(key, stored)
    return stored ?? this.#set(key, new MemoryStream())
  }

  #placed({ isolation, action }: AttemptSpec, file: string): StreamFile {
    const isBoxed = (isolation !== undefined && isolation !== 'none') || action === 'agent.run'
    const files = isBoxed && file.startsWith(this.#cwd + path.sep) ? this.#apart : this.#files
    return new StreamFile(files, file, 'rewrite')
  }

  async #spill(key: string, stored: MemoryStream | undefined): Promise<StreamFile> {
    const { runId, file } = streamPlace(...partsOf(key))
    const target = new StreamFile(this.#spills, path.join(this.#spillDir, runId, file), 'rewrite')
    if (stored !== undefined) await target.append(stored.read(0, stored.length))
    return this.#set(key, target)
  }

  async #keepEnded(key: string, stored: MemoryStream): Promise<void> {
    this.#ended.set(key, stored)
    this.#endedBytes += stored.length
    for (const [oldest, ended] of this.#ended) {
      if (this.#endedBytes <= this.#maxEndedBytes) return
      this.#forgetEnded(oldest)
      const file = await this.#spill(oldest, ended)
      await file.close()
    }
  }

  #forgetEnded(key: string): void {
    this.#endedBytes -= this.#ended.get(key)?.length ?? 0
    this.#ended.delete(key)
  }

  #set<T extends StoredStream>(key: string, stored: T): T {
    this.#streams.set(key, stored)
    return stored
  }
}

const keyOf = (attemptId: string, stream: StreamName): string => `${attemptId} ${stream}`
const partsOf = (key: string): [string, StreamName] => {
  const space = key.lastIndexOf(' ')
  return [key.slice(0, space), key.slice(space + 1) as StreamName]
}

const FIRST_BYTES = 1024

/** A stream in memory, in one growing block, so that single bytes do not cost an object each. */
class MemoryStream {
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

  /** Returns a view, since written bytes never change. */
  read(start: number, end: number): Buffer {
    return this.#block.subarray(start, end)
  }

  /** Loads the hash module late: it would take a short command a tenth of its time. */
  seal(hashed: boolean): StreamEnd {
    if (!hashed) return { length: this.#length }
    return { length: this.#length, sha256: hash('sha256', this.read(0, this.#length), 'hex') }
  }
}
