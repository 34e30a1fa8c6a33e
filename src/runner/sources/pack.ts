import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { ErrandError } from '../../contract/errors.ts'
import { checkLinks, EntryNames, entryPath } from './archive-entries.ts'
import { type FolderEntry, folderEntries, readIgnoreFile, SkippedPaths } from './folder-entries.ts'
import { DEFAULT_UNPACK_LIMITS } from './unpack.ts'
import type { UnpackLimits } from './unpacked-files.ts'

export interface PackOptions {
  /** Paths that are packed whatever .dockerignore says, such as the Dockerfile. */
  keep?: readonly string[]
  /** Limit in bytes for the archive. */
  maxBytes?: number
  /** Limits for its content. */
  limits?: UnpackLimits
}

export interface Packed {
  archive: Buffer
  files: number
}

const MAX_ARCHIVE_BYTES = 50 * 1024 * 1024

/**
 * Packs a folder to a tar.gz that `unpack` accepts; the same files give the same bytes. It leaves out .git,
 * node_modules, __pycache__, .venv and what .dockerignore names. Throws `source_refused` with the entry's name.
 */
export async function pack(folder: string, options: PackOptions = {}): Promise<Packed> {
  const { keep, maxBytes = MAX_ARCHIVE_BYTES, limits = DEFAULT_UNPACK_LIMITS } = options
  await mustBeFolder(folder)
  const entries = await folderEntries(folder, new SkippedPaths(await readIgnoreFile(folder), keep))
  check(entries, limits)
  const chunks: Buffer[] = []
  let bytes = 0
  const tar = await tarOf(entries)
  await pipeline(tar, createGzip({ level: 9 }), async (zipped: AsyncIterable<Buffer>) => {
    for await (const chunk of zipped) {
      bytes += chunk.length
      if (bytes > maxBytes)
        throw tooLarge(`The packed folder is larger than ${megabytes(maxBytes)}.`, entries)
      chunks.push(chunk)
    }
  })
  return { archive: Buffer.concat(chunks), files: entries.filter(({ kind }) => kind === 'file').length }
}

async function mustBeFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined)
  if (found?.isDirectory() === true) return
  throw new ErrandError('source_refused', `Folder ${JSON.stringify(folder)} not found.`, {
    hint: 'Name the folder that contains the code.',
  })
}

/** Refuses what the other side would refuse, before anything is sent. */
function check(entries: readonly FolderEntry[], limits: UnpackLimits): void {
  const names = new EntryNames()
  for (const { path, kind } of entries) names.add(entryPath(path), kind)
  checkLinks(
    new Map(entries.flatMap(({ path, target }) => (target === undefined ? [] : [[path, target]]))),
    names,
  )
  const size = entries.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.size : 0), 0)
  if (size > limits.maxBytes)
    throw tooLarge(`The folder contains more than ${megabytes(limits.maxBytes)}.`, entries)
  if (names.count > limits.maxEntries)
    throw new ErrandError('source_refused', `The folder contains ${names.count} files and folders.`, {
      hint: `The limit is ${limits.maxEntries}. List in .dockerignore what the build does not need.`,
    })
  if (!entries.some(({ kind }) => kind === 'file'))
    throw new ErrandError('source_refused', 'The folder contains no files to pack.', {
      hint: 'Name the folder that contains the code, and check its .dockerignore.',
    })
}

/** Builds the tar; the same entries give the same bytes. */
export async function tarOf(entries: readonly FolderEntry[]): Promise<Readable> {
  const tar = (await import('tar-stream')).pack()
  const filled = (async () => {
    for (const { path, kind, file, size, executable, target } of entries) {
      const owner = { uid: 0, gid: 0, mtime: new Date(0) }
      if (target !== undefined) tar.entry({ ...owner, name: path, type: 'symlink', linkname: target })
      else if (kind === 'folder') tar.entry({ ...owner, name: `${path}/`, type: 'directory', mode: 0o755 })
      // A file that changes meanwhile no longer has its size, so no tar is made; likewise if it has become a link.
      else
        await pipeline(
          (await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)).createReadStream(),
          tar.entry({ ...owner, name: path, size, mode: executable ? 0o755 : 0o644 }),
        )
    }
    tar.finalize()
  })()
  filled.catch((error: Error) => tar.destroy(error))
  return tar as unknown as Readable
}

function tooLarge(message: string, entries: readonly FolderEntry[]): ErrandError {
  const largest = entries
    .filter(({ kind }) => kind === 'file')
    .sort((a, b) => b.size - a.size)
    .slice(0, 3)
    .map(({ path, size }) => `${path} (${megabytes(size)})`)
  return new ErrandError('source_refused', message, {
    hint: `List in .dockerignore what the build does not need. The largest: ${largest.join(', ')}.`,
  })
}

const megabytes = (bytes: number) => `${Math.round((bytes / 1024 ** 2) * 10) / 10} MB`
