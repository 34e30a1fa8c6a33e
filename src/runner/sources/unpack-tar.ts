import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Extract, Header } from 'tar-stream'
import { ErrandError } from '../../contract/errors.ts'
import { entryPath, refusedEntry } from './archive-entries.ts'
import { tooManyBytes, type UnpackedFiles, type UnpackLimits } from './unpacked-files.ts'

type Entry = Extract extends AsyncIterable<infer E> ? E : never

export interface TarOptions {
  limits: UnpackLimits
  signal?: AbortSignal
  /** Name of the tar in errors. */
  what: string
  /** Stream that its bytes pass through first. */
  unzip?: Transform
}

const BLOCK_BYTES = 512
/** Limit in bytes; writers pad the end to a record, usually 10 KiB. */
const END_PADDING = 1024 * 1024

/** Reads a tar to its end. */
export async function unpackTar(
  bytes: Readable,
  files: UnpackedFiles,
  { limits, signal, what, unzip }: TarOptions,
): Promise<void> {
  const { extract } = await import('tar-stream')
  const maxBytes = limits.maxBytes + limits.maxEntries * 2 * BLOCK_BYTES + END_PADDING
  const bounded = new BoundedTar(maxBytes, 4 * limits.maxEntries, what)
  const entries = extract()
  const reading = unzip
    ? pipeline(bytes, unzip, bounded, entries, { signal })
    : pipeline(bytes, bounded, entries, { signal })
  // An entry reports nothing if the reading fails before the entry is consumed; this signal does.
  const broken = new AbortController()
  const readingFailed = reading.then(
    () => undefined,
    (error: unknown) => {
      broken.abort()
      return { error }
    },
  )
  try {
    for await (const entry of entries) await write(entry, files, broken.signal)
  } catch (error) {
    entries.destroy()
    const failed = await readingFailed
    throw error instanceof ErrandError || failed === undefined ? error : failed.error
  }
  const failed = await readingFailed
  if (failed !== undefined) throw failed.error
}

async function write(entry: Entry, files: UnpackedFiles, signal: AbortSignal): Promise<void> {
  const { name, type, mode = 0o644, linkname } = entry.header
  check(entry.header)
  if (type === 'file' || type === 'contiguous-file') return await files.file(name, mode, entry, signal)
  if (type === 'symlink') files.link(name, linkname ?? '')
  else await files.folder(name)
  entry.resume()
}

const kinds: Readonly<Record<string, string>> = {
  link: 'a hard link',
  'character-device': 'a device',
  'block-device': 'a device',
  fifo: 'a FIFO',
}

function check({ name, type, mode = 0, pax }: Header): void {
  entryPath(name)
  if (type !== 'file' && type !== 'contiguous-file' && type !== 'directory' && type !== 'symlink') {
    const what = kinds[String(type)] ?? 'of an unknown type'
    throw refusedEntry(name, `is ${what}`, 'Only files, folders and symbolic links are accepted.')
  }
  if (Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse')))
    throw refusedEntry(name, 'is a sparse file', 'Pack without --sparse.')
  if ((mode & 0o6000) !== 0) throw refusedEntry(name, 'has a setuid or setgid bit', 'Remove it: chmod ug-s.')
}

/** Bytes of the zero blocks at the end of a tar. */
const END_BLOCKS_BYTES = 1024

/** Passes an unpacked tar on, and counts real bytes: the sizes in headers decide nothing. */
class BoundedTar extends Transform {
  readonly #maxBytes: number
  readonly #guard: TarHeaderGuard
  readonly #what: string
  #bytes = 0
  #tail = Buffer.alloc(0)

  /** Takes the limits; `maxHeaders` is for headers that only change what follows them. `what` names what is limited. */
  constructor(maxBytes: number, maxHeaders: number, what: string) {
    super()
    this.#maxBytes = maxBytes
    this.#guard = new TarHeaderGuard(maxHeaders)
    this.#what = what
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length
    this.#tail = Buffer.concat([this.#tail.subarray(-END_BLOCKS_BYTES), chunk.subarray(-END_BLOCKS_BYTES)])
    done(this.#fault(chunk), chunk)
  }

  #fault(chunk: Buffer): ErrandError | null {
    if (this.#bytes > this.#maxBytes) return tooManyBytes(this.#what, this.#maxBytes)
    const fault = this.#guard.push(chunk)
    if (fault === undefined) return null
    return new ErrandError('source_refused', `The ${this.#what} ${fault}.`, { hint: again })
  }

  override _flush(done: TransformCallback): void {
    const end = this.#tail.subarray(-END_BLOCKS_BYTES)
    const whole = end.length === END_BLOCKS_BYTES && end.every((byte) => byte === 0)
    done(
      whole
        ? null
        : new ErrandError('source_refused', `The ${this.#what} is cut off: it has no end.`, { hint: again }),
    )
  }
}

const again = 'Pack and send it again.'

const HEADER_BLOCK_BYTES = 512
const TYPE_AT = 156
const SIZE_AT = 124
const MAGIC_AT = 257
const MAGIC = Buffer.from('ustar')

/** Limit in bytes for a header that changes the entry after it (x, L, K), or all entries (g), by its type. */
const maxHeaderBytes: Readonly<Record<string, number>> = { x: 64 * 1024, L: 4096, K: 4096, N: 4096, g: 4096 }

/**
 * Finds headers that cost more than their entries: a reader merges each global one into every entry. It reads all
 * blocks, so that no wrong size hides one.
 */
class TarHeaderGuard {
  readonly #maxHeaders: number
  #part: Buffer = Buffer.alloc(0)
  #headers = 0

  constructor(maxHeaders: number) {
    this.#maxHeaders = maxHeaders
  }

  /** Returns what is wrong, as a text that follows a name. */
  push(chunk: Buffer): string | undefined {
    const bytes = this.#part.length === 0 ? chunk : Buffer.concat([this.#part, chunk])
    const whole = bytes.length - (bytes.length % HEADER_BLOCK_BYTES)
    this.#part = bytes.subarray(whole)
    for (let at = 0; at < whole; at += HEADER_BLOCK_BYTES) {
      const most = maxHeaderBytes[String.fromCharCode(bytes[at + TYPE_AT]!)]
      if (most === undefined || MAGIC.compare(bytes, at + MAGIC_AT, at + MAGIC_AT + MAGIC.length) !== 0)
        continue
      if (!(sizeOf(bytes, at) <= most)) return 'contains a header that is too large'
      if (++this.#headers > this.#maxHeaders) return 'contains too many headers'
    }
    return undefined
  }
}

/** Parses a size; NaN for a value that is not octal: a size that needs more is too large here. */
function sizeOf(bytes: Buffer, at: number): number {
  if (bytes[at + SIZE_AT]! >= 0x80) return Number.NaN
  const text = bytes.toString('latin1', at + SIZE_AT, at + SIZE_AT + 12)
  return Number.parseInt(text.replace(/^[ \0]+/, '') || '0', 8)
}
