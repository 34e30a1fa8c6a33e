import { createWriteStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { crc32 } from 'node:zlib'
import type { Entry, ZipFile } from 'yauzl'
import { ErrandError } from '../../contract/errors.ts'
import { refusedEntry } from './archive-entries.ts'
import { tooManyBytes, tooManyEntries, type UnpackedFiles, type UnpackLimits } from './unpacked-files.ts'

/** Least number of bytes before the content of an entry. */
const HEADER_BYTES = 30
const STORED = 0
const DEFLATED = 8
/** Systems that store a Unix mode in the upper half of the attributes: Unix, macOS. */
const WITH_MODE = [3, 19]
const MAX_TARGET_BYTES = 1024
const kindBits = { mask: 0o170000, folder: 0o040000, file: 0o100000, link: 0o120000 }

export interface ZipOptions {
  limits: UnpackLimits
  signal?: AbortSignal
  /** File that holds the zip meanwhile, because its list of entries is at its end. */
  file: string
}

/** Reads a zip by its list of entries, like other programs. */
export async function unpackZip(
  bytes: Readable,
  files: UnpackedFiles,
  { limits, signal, file }: ZipOptions,
): Promise<void> {
  const packed = new ByteCount(limits.maxBytes)
  const counted = async function* () {
    for await (const chunk of bytes) {
      packed.add(chunk.length)
      yield chunk
    }
  }
  await pipeline(counted, createWriteStream(file, { flags: 'wx', mode: 0o600 }), { signal })
  const { default: yauzl } = await import('yauzl')
  const zip = await yauzl.openPromise(file, { autoClose: false, decodeStrings: false })
  try {
    const size = new ByteCount(limits.maxBytes)
    for (const entry of await listed(zip, limits)) {
      signal?.throwIfAborted()
      const { name, mode, kind } = entry
      if (kind === 'folder') await files.folder(name)
      else if (kind === 'file') await files.file(name, mode, whole(entry, zip, size), signal)
      else files.link(name, await text(whole(entry, zip, size)))
    }
  } finally {
    zip.close()
  }
}

interface ListedEntry {
  entry: Entry
  name: string
  mode: number
  kind: 'file' | 'folder' | 'link'
}

/** Returns the entries in the order of the list. */
async function listed(zip: ZipFile, { maxEntries }: UnpackLimits): Promise<ListedEntry[]> {
  const { default: yauzl } = await import('yauzl')
  if (zip.entryCount > maxEntries) throw tooManyEntries('archive', maxEntries)
  const entries: ListedEntry[] = []
  for await (const entry of zip.eachEntry()) {
    const { generalPurposeBitFlag, fileNameRaw, extraFields } = entry
    // A backslash stays one, and is refused.
    const name = yauzl.getFileNameLowLevel(generalPurposeBitFlag, fileNameRaw, extraFields, true)
    entries.push({ entry, name, ...kindOf(entry, name) })
  }
  checkPlaces(entries)
  return entries
}

function kindOf(entry: Entry, name: string): Pick<ListedEntry, 'mode' | 'kind'> {
  if (entry.isEncrypted())
    throw refusedEntry(name, 'is encrypted', 'Pack without a password: zip -r code.zip .')
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED)
    throw refusedEntry(
      name,
      `uses an unsupported compression method (${entry.compressionMethod})`,
      'Pack it with deflate, the default of zip.',
    )
  const isFolder = name.endsWith('/')
  const system = entry.versionMadeBy >>> 8
  const mode = WITH_MODE.includes(system) ? entry.externalFileAttributes >>> 16 : 0
  const bits = mode & kindBits.mask
  if (bits === kindBits.link && !isFolder) {
    if (entry.uncompressedSize <= MAX_TARGET_BYTES) return { mode, kind: 'link' }
    throw refusedEntry(name, `is a link of more than ${MAX_TARGET_BYTES} bytes`, 'Replace it with a copy.')
  }
  if (bits === 0 || bits === (isFolder ? kindBits.folder : kindBits.file))
    return { mode, kind: isFolder ? 'folder' : 'file' }
  throw refusedEntry(
    name,
    'is neither a file, a folder nor a symbolic link',
    'Pack it without devices and other special files.',
  )
}

/** Checks that no byte belongs to two entries: that is how a small archive becomes a very large one. */
function checkPlaces(entries: readonly ListedEntry[]): void {
  const sorted = entries.toSorted(
    (a, b) => a.entry.relativeOffsetOfLocalHeader - b.entry.relativeOffsetOfLocalHeader,
  )
  let end = 0
  for (const { entry, name } of sorted) {
    const { relativeOffsetOfLocalHeader: at, fileNameLength, compressedSize } = entry
    if (at < end) throw refusedEntry(name, 'shares bytes with another entry', 'Pack the folder again.')
    end = at + HEADER_BYTES + fileNameLength + compressedSize
  }
}

/** Yields the content of an entry, which must match the list; opened when it is read. */
async function* whole({ entry, name }: ListedEntry, zip: ZipFile, size: ByteCount): AsyncGenerator<Buffer> {
  let sum = 0
  try {
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      sum = crc32(chunk, sum)
      size.add(chunk.length)
      yield chunk
    }
    if (sum !== entry.crc32) throw new Error('its checksum is wrong')
  } catch (error) {
    if (error instanceof ErrandError) throw error
    throw refusedEntry(name, `is damaged: ${(error as Error).message}`, 'Pack and send it again.')
  }
}

/** Counts the real bytes of all entries together: the sizes in the list decide nothing. */
class ByteCount {
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#maxBytes) throw tooManyBytes('archive', this.#maxBytes)
  }
}
