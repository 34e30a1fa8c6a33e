import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { addAbortSignal, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { ErrandError } from '../../contract/errors.ts'
import { unpackTar } from './unpack-tar.ts'
import { unpackZip } from './unpack-zip.ts'
import { UnpackedFiles, type UnpackLimits } from './unpacked-files.ts'

export const DEFAULT_UNPACK_LIMITS: UnpackLimits = { maxBytes: 500 * 1024 * 1024, maxEntries: 10_000 }

export interface UnpackOptions {
  limits?: UnpackLimits
  signal?: AbortSignal
  what?: 'archive' | 'repository'
}

/**
 * Unpacks a tar, tar.gz or zip (recognized by its first bytes) into `target`, which must not exist: files, folders, and
 * symbolic links that stay inside. Throws `source_refused` with the entry's name, and then leaves nothing, in `target`
 * or elsewhere. `what` names the source in errors.
 */
export async function unpack(
  archive: Readable,
  target: string,
  { limits = DEFAULT_UNPACK_LIMITS, signal, what = 'archive' }: UnpackOptions = {},
): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const folder = await mkdtemp(join(dirname(target), `.${basename(target)}-`))
  try {
    // Even before any data has come.
    if (signal !== undefined) addAbortSignal(signal, archive)
    await unpackInto(archive, folder, { limits, signal, what })
    await rename(join(folder, CONTENT), target)
  } catch (error) {
    throw refusal(error, what)
  } finally {
    await rm(folder, { recursive: true, force: true })
    archive.destroy()
  }
}

async function unpackInto(
  archive: Readable,
  folder: string,
  { limits, signal, what }: UnpackOptions & { limits: UnpackLimits; what: string },
): Promise<void> {
  const { kind, whole } = await sniffed(archive)
  const content = join(folder, CONTENT)
  await mkdir(content, { mode: 0o700 })
  const files = new UnpackedFiles(content, limits, what)
  if (kind === 'zip') await unpackZip(whole, files, { limits, signal, file: join(folder, 'archive.zip') })
  else
    await unpackTar(whole, files, {
      limits,
      signal,
      what,
      ...(kind === 'gzip' ? { unzip: createGunzip() } : {}),
    })
  await files.end()
}

/** Name of the content folder; temporary files are beside it until everything is there. */
const CONTENT = 'content'

async function sniffed(archive: Readable): Promise<{ kind: 'tar' | 'gzip' | 'zip'; whole: Readable }> {
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
      hint: PACKING,
    })
  const first = head.toString('latin1')
  const kind = first.startsWith('\x1f\x8b') ? 'gzip' : ZIP.test(first) ? 'zip' : 'tar'
  return { kind, whole: Readable.from(rest()) }
}

/** Matches its first entry, or its end if it has none. */
const ZIP = /^PK(?:\x03\x04|\x05\x06)/
const PACKING = 'Send a zip, a tar or a tar.gz: tar -czf code.tar.gz -C folder .'

const otherFormats: Readonly<Record<string, string>> = {
  'PK\x07\x08': 'part of a zip',
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
    return new ErrandError('disk_full', `There is not enough disk space to unpack the ${what}.`, {
      cause: error,
    })
  return new ErrandError('source_refused', `The ${what} cannot be read: ${message.replace(/\.$/, '')}.`, {
    hint: PACKING,
    cause: error,
  })
}
