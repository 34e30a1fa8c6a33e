import type { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Extract, Header } from 'tar-stream'
import { ErrandError } from '../../contract/errors.ts'
import { BoundedTar } from './bounded-tar.ts'
import { entryPath, refusedEntry } from './entry-path.ts'
import type { UnpackedFiles, UnpackLimits } from './unpacked-files.ts'

type Entry = Extract extends AsyncIterable<infer E> ? E : never

export interface TarOptions {
  limits: UnpackLimits
  signal?: AbortSignal
  /** The tar's name in errors. */
  what: string
  /** The stream that its bytes go through first. */
  unzip?: Transform
}

const BLOCK_BYTES = 512
/** Writers pad the end to a record, 10 KiB as a rule. */
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
  // An entry that is written says nothing where the reading ends before it is begun with.
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
    const what = kinds[String(type)] ?? 'of a kind that is not known here'
    throw refusedEntry(name, `is ${what}`, 'Only files, folders and symbolic links are taken.')
  }
  if (Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse')))
    throw refusedEntry(name, 'is a sparse file', 'Pack without --sparse.')
  if ((mode & 0o6000) !== 0)
    throw refusedEntry(name, 'has a setuid or setgid bit', 'Take it away: chmod ug-s.')
}
