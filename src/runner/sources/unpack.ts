import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { addAbortSignal, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type { Extract, Header } from 'tar-stream'
import { ErrandError } from '../../contract/errors.ts'
import { BoundedTar } from './bounded-tar.ts'
import { EntryNames } from './entry-names.ts'
import { entryPath, refusedEntry } from './entry-path.ts'

type Entry = Extract extends AsyncIterable<infer E> ? E : never

export interface UnpackLimits {
  /** Of all files together, unpacked. */
  maxBytes: number
  maxEntries: number
}

export const DEFAULT_UNPACK_LIMITS: UnpackLimits = { maxBytes: 500 * 1024 * 1024, maxEntries: 10_000 }

export interface UnpackOptions {
  limits?: UnpackLimits
  signal?: AbortSignal
  what?: 'archive' | 'repository'
}

/**
 * Unpacks a tar or tar.gz (told by its first bytes) into `target`, which must not be there. Regular files and folders
 * only. Throws `source_refused`, naming the entry, and leaves nothing then, in `target` or elsewhere. `what` names the
 * source in errors.
 */
export async function unpack(
  archive: Readable,
  target: string,
  { limits = DEFAULT_UNPACK_LIMITS, signal, what = 'archive' }: UnpackOptions = {},
): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const folder = await mkdtemp(join(dirname(target), `.${basename(target)}-`))
  try {
    // Also while nothing has come yet.
    if (signal !== undefined) addAbortSignal(signal, archive)
    await unpackInto(archive, folder, { limits, signal, what })
    await rename(folder, target)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw refusal(error, what)
  } finally {
    archive.destroy()
  }
}

async function unpackInto(
  archive: Readable,
  folder: string,
  { limits, signal, what }: UnpackOptions & { limits: UnpackLimits; what: string },
) {
  const { extract } = await import('tar-stream')
  const { kind, whole } = await sniffed(archive)
  const maxBytes = limits.maxBytes + limits.maxEntries * 2 * BLOCK_BYTES + END_PADDING
  const bounded = new BoundedTar(maxBytes, 4 * limits.maxEntries, what)
  const entries = extract()
  const reading =
    kind === 'gzip'
      ? pipeline(whole, createGunzip(), bounded, entries, { signal })
      : pipeline(whole, bounded, entries, { signal })
  // An entry that is written says nothing where the reading ends before it is begun with.
  const broken = new AbortController()
  const readingFailed = reading.then(
    () => undefined,
    (error: unknown) => {
      broken.abort()
      return { error }
    },
  )
  const names = new EntryNames()
  let files = 0
  let seen = 0
  try {
    for await (const entry of entries) {
      if (entry.header.type === 'file' || entry.header.type === 'contiguous-file') files++
      await write(entry, folder, names, broken.signal)
      // A folder may stand there any number of times.
      if (Math.max(names.count, ++seen) <= limits.maxEntries) continue
      throw new ErrandError(
        'source_refused',
        `The ${what} holds more than ${limits.maxEntries} files and folders.`,
        {
          hint: 'Leave out what is not needed to build, such as installed dependencies.',
        },
      )
    }
  } catch (error) {
    entries.destroy()
    const failed = await readingFailed
    throw error instanceof ErrandError || failed === undefined ? error : failed.error
  }
  const failed = await readingFailed
  if (failed !== undefined) throw failed.error
  if (files === 0)
    throw new ErrandError('source_refused', `The ${what} holds no files.`, {
      hint: 'Pack the folder with the code.',
    })
}

const BLOCK_BYTES = 512
/** Writers pad the end to a record, 10 KiB as a rule. */
const END_PADDING = 1024 * 1024

async function write(entry: Entry, folder: string, names: EntryNames, signal: AbortSignal): Promise<void> {
  const path = checked(entry.header)
  if (entry.header.type === 'directory') {
    if (path !== '') {
      names.add(path, 'folder')
      await mkdir(join(folder, path), { recursive: true, mode: 0o755 })
    }
    return void entry.resume()
  }
  if (path === '') throw refusedEntry(entry.header.name, 'is a file without a name', 'Pack the folder again.')
  names.add(path, 'file')
  await mkdir(dirname(join(folder, path)), { recursive: true, mode: 0o755 })
  const mode = ((entry.header.mode ?? 0o644) & 0o111) === 0 ? 0o644 : 0o755
  // Nothing that stands there is followed or replaced.
  await pipeline(entry, createWriteStream(join(folder, path), { flags: 'wx', mode }), { signal })
}

const kinds: Readonly<Record<string, string>> = {
  symlink: 'a symbolic link',
  link: 'a hard link',
  'character-device': 'a device',
  'block-device': 'a device',
  fifo: 'a FIFO',
}

function checked(header: Header): string {
  const path = entryPath(header.name)
  const { type, mode = 0, pax } = header
  if (type !== 'file' && type !== 'contiguous-file' && type !== 'directory') {
    const what = kinds[String(type)] ?? 'of a kind that is not known here'
    throw refusedEntry(header.name, `is ${what}`, 'Only regular files and folders are taken.')
  }
  if (Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse')))
    throw refusedEntry(header.name, 'is a sparse file', 'Pack without --sparse.')
  if ((mode & 0o6000) !== 0)
    throw refusedEntry(header.name, 'has a setuid or setgid bit', 'Take it away: chmod ug-s.')
  return path
}

async function sniffed(archive: Readable): Promise<{ kind: 'tar' | 'gzip'; whole: Readable }> {
  const iterator = archive[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let head = Buffer.alloc(0)
  while (head.length < 4) {
    const { value, done } = await iterator.next()
    if (done) break
    head = Buffer.concat([head, value])
  }
  const rest = async function* () {
    yield head
    for (;;) {
      const { value, done } = await iterator.next()
      if (done) return
      yield value
    }
  }
  if (head.length === 0)
    throw new ErrandError('source_refused', 'The archive is empty.', {
      hint: 'Pack the folder with the code.',
    })
  const other = Object.entries(otherFormats).find(([magic]) => head.toString('latin1').startsWith(magic))?.[1]
  if (other !== undefined)
    throw new ErrandError('source_refused', `The archive is a ${other} file.`, {
      hint: 'Send a tar or tar.gz: tar -czf code.tar.gz -C folder .',
    })
  return { kind: head[0] === 0x1f && head[1] === 0x8b ? 'gzip' : 'tar', whole: Readable.from(rest()) }
}

const otherFormats: Readonly<Record<string, string>> = {
  'PK\x03\x04': 'zip',
  BZh: 'bzip2',
  '\xfd7zX': 'xz',
  '(\xb5/\xfd': 'zstd',
  '7z\xbc\xaf': '7z',
  Rar: 'rar',
}

function refusal(error: unknown, what: string): unknown {
  if (error instanceof ErrandError) return error
  const { name, message, code } = error as NodeJS.ErrnoException
  if (name === 'AbortError') return error
  if (code === 'ENOSPC')
    return new ErrandError('disk_full', `There is no room to unpack the ${what}.`, { cause: error })
  return new ErrandError('source_refused', `The ${what} cannot be read: ${message}.`, {
    hint: 'Send a whole tar or tar.gz: tar -czf code.tar.gz -C folder .',
    cause: error,
  })
}
