import { createHash, type Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { StreamEnd, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { RunId, splitAttemptId } from '../../contract/ids.ts'
import { diskError } from '../disk-errors.ts'
import type { OpenFiles, Opening } from './open-files.ts'

const READ_BYTES = 1024 * 1024

/** A stream in one file, written at its end. Writes come one at a time; reads may overlap them. */
export class StreamFile {
  readonly file: string
  readonly #files: OpenFiles
  #opening: Opening
  #length: number
  /** Hash of everything up to the length; undefined for a file that existed before, which is hashed at the end. */
  #hash: Hash | undefined
  /** The reason why appended bytes may not be on disk: the system reports it only once. */
  #unsynced: unknown

  /**
   * `kept`: bytes that are already in the file. `rewrite`: other content of the file does not belong to this stream.
   */
  constructor(files: OpenFiles, file: string, start: { kept: number } | 'rewrite') {
    this.file = file
    this.#files = files
    this.#opening = start === 'rewrite' ? 'rewrite' : 'write'
    this.#length = start === 'rewrite' ? 0 : start.kept
    this.#hash = this.#length === 0 ? createHash('sha256') : undefined
  }

  get length(): number {
    return this.#length
  }

  /** Adds all of the bytes, or none. */
  async append(bytes: Buffer): Promise<void> {
    await this.#use(this.#opening, async (handle) => {
      this.#opening = 'write'
      try {
        await writeAll(handle, bytes, this.#length)
      } catch (error) {
        await handle.truncate(this.#length).catch(() => {})
        throw error
      }
    })
    this.#hash?.update(bytes)
    this.#length += bytes.length
  }

  read(start: number, end: number): Promise<Buffer> {
    return this.#use('read', (handle) => readRange(handle, start, end))
  }

  /** Resolves when everything appended so far is on disk. After a failure that can no longer be known. */
  async sync(): Promise<void> {
    if (this.#unsynced !== undefined) throw this.#unsynced
    try {
      await this.#use('write', (handle) => handle.datasync())
    } catch (error) {
      this.#unsynced ??= error
      throw error
    }
  }

  /** Flushes the file to disk, closes it, and measures it. Nothing can be appended afterwards. */
  async seal(): Promise<StreamEnd> {
    await this.sync()
    const hash = this.#hash ?? (await this.#use('read', (handle) => hashFile(handle, this.#length)))
    await this.close()
    return { length: this.#length, sha256: hash.copy().digest('hex') }
  }

  close(): Promise<void> {
    return this.#files.close(this.file)
  }

  async #use<T>(opening: Opening, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    try {
      return await this.#files.use(this.file, opening, work)
    } catch (error) {
      throw diskError(error, this.file)
    }
  }
}

async function writeAll(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}

async function readRange(handle: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start)
  let done = 0
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return bytes.subarray(0, done)
}

async function hashFile(handle: FileHandle, length: number): Promise<Hash> {
  const hash = createHash('sha256')
  for (let at = 0; at < length; at += READ_BYTES)
    hash.update(await readRange(handle, at, Math.min(at + READ_BYTES, length)))
  return hash
}

/**
 * Returns a stream's place below a folder: the run's folder, and the file in it. Throws `bad_request` for an invalid
 * attempt id.
 */
export function streamPlace(attemptId: string, stream: StreamName): { runId: string; file: string } {
  const { runId, number } = splitAttemptId(attemptId)
  if (!RunId.safeParse(runId).success || !Number.isSafeInteger(number) || number < 1)
    throw new ErrandError('bad_request', `"${attemptId}" is not a valid attempt id.`, {
      hint: 'An attempt id is the id of its run, a dot and its number, such as run_a.1.',
    })
  return { runId, file: `${number}.${stream}` }
}

/** Drops bytes that are already stored. Throws `conflict` when bytes are missing in between. */
export function newBytes(
  attemptId: string,
  stream: StreamName,
  length: number,
  offset: number,
  bytes: Buffer,
): Buffer {
  if (offset > length)
    throw new ErrandError(
      'conflict',
      `Bytes ${length} to ${offset} of ${stream} of ${attemptId} are missing.`,
      {
        hint: `Send again from byte ${length}.`,
      },
    )
  return bytes.subarray(length - offset)
}

/** The end of an empty stream: the SHA-256 of no bytes. */
export const EMPTY_STREAM: Readonly<StreamEnd> = {
  length: 0,
  sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
}
