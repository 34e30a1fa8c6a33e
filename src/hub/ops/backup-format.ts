import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { extract, pack } from 'tar-stream'
import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { makeFolder } from '../../platform/files.ts'
import { unlessAborted } from '../../platform/races.ts'
import { diskError, isMissing } from '../../stores/disk-errors.ts'

/** Target of a backup. Files are added one at a time. */
export interface BackupTarget {
  /** Path next to the target for a file that is not part of it yet. */
  readonly scratch: string
  add(name: string, bytes: number, pieces: AsyncIterable<Buffer>): Promise<void>
  /** Completes the backup: the target appears under its name. */
  finish(): Promise<void>
  /** Deletes everything written. A no-op after `finish`. May be called twice. */
  discard(): Promise<void>
}

const archive = /\.(tar|tar\.gz|tgz)$/

/**
 * Opens the target: an archive if the name says so, otherwise a folder. Throws `conflict` if something is there
 * already, and `store_failed`.
 */
export async function backupTarget(to: string): Promise<BackupTarget> {
  const target = path.resolve(to)
  try {
    if (await isThere(target))
      throw new ErrandError('conflict', `${to} already exists.`, { hint: 'Name another file or folder.' })
    const making = `${target}.${process.pid}.making`
    await makeFolder(path.dirname(target))
    return archive.test(target) ? archiveTarget(target, making) : await folderTarget(target, making)
  } catch (error) {
    throw diskError(error, to)
  }
}

/** Reports whether something is there; an empty folder does not count. */
async function isThere(target: string): Promise<boolean> {
  const found = await stat(target).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
  return found !== undefined && !(found.isDirectory() && (await readdir(target)).length === 0)
}

async function folderTarget(target: string, making: string): Promise<BackupTarget> {
  const scratch = `${making}-scratch`
  await mkdir(making, { mode: 0o700 })
  return {
    scratch,
    async add(name, _, pieces) {
      const file = path.join(making, name)
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
      await pipeline(pieces, createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true }))
    },
    async finish() {
      await rm(scratch, { force: true })
      await rm(target, { recursive: true, force: true })
      await rename(making, target)
    },
    async discard() {
      await rm(scratch, { force: true })
      await rm(making, { recursive: true, force: true })
    },
  }
}

function archiveTarget(target: string, making: string): BackupTarget {
  const scratch = `${making}-scratch`
  const tar = pack()
  const file = createWriteStream(making, { flags: 'wx', mode: 0o600, flush: true })
  const written = target.endsWith('.tar') ? pipeline(tar, file) : pipeline(tar, createGzip(), file)
  // A failed write is reported by the call that waits for the next file or for the end.
  const broken = new AbortController()
  written.catch((error) => broken.abort(error))
  return {
    scratch,
    async add(name, bytes, pieces) {
      const entry = tar.entry({ name, size: bytes, mode: 0o600 })
      await unlessAborted(broken.signal, pipeline(Readable.from(pieces), entry))
    },
    async finish() {
      tar.finalize()
      await written
      await rm(scratch, { force: true })
      await rename(making, target)
    },
    async discard() {
      tar.destroy()
      await written.catch(() => {})
      await rm(scratch, { force: true })
      await rm(making, { force: true })
    },
  }
}

/** Name of the list of everything that a backup contains; it is written last. */
export const LIST = 'backup.jsonl'
export const DATABASE = 'errand.db'
export const KEY = 'secrets.key'
/** Folder with the code of bots: one subfolder per tenant, with files named by their SHA-256. */
export const UPLOADS = 'uploads'
/**
 * Folder with the artifacts of runs: one subfolder per user, in it one per run or task, with files named by their
 * SHA-256.
 */
export const ARTIFACTS = 'artifacts'
/** Files of a data folder that are copied as they are, if they exist. */
export const CONFIG_FILES = ['errand.yaml', 'ados.yaml']

/** Matches every name that a backup may contain: no other name is ever written into a data folder. */
const KNOWN =
  /^(errand\.db|secrets\.key|errand\.yaml|ados\.yaml|output\/[A-Za-z0-9][\w-]{0,99}\/\d+\.(stdout|stderr)|uploads\/[0-9a-f]{32}\/[0-9a-f]{64}|artifacts\/[0-9a-f]{32}\/(\+[0-9a-f]{32}|[A-Za-z0-9][\w-]{0,99})\/[0-9a-f]{64})$/

/** The first line of the list. */
export const BackupHead = z.object({
  format: z.literal(1),
  errand: z.string(),
  created_at: z.string(),
  runs: z.number().int(),
  with_key: z.boolean(),
})
export type BackupHead = z.infer<typeof BackupHead>

/** Every other line. */
export const BackupFile = z.object({
  path: z.string().regex(KNOWN),
  bytes: z.number().int(),
  sha256: z.string(),
})
export type BackupFile = z.infer<typeof BackupFile>

export const isKnown = (path: string): boolean => path === LIST || KNOWN.test(path)

export const damaged = (from: string, why: string): ErrandError =>
  new ErrandError('store_failed', `The backup ${from} is damaged: ${why}.`, {
    hint: 'Nothing was restored. Use another backup.',
  })

interface BackupEntry {
  name: string
  /** Must be read to its end before the next entry. */
  content: AsyncIterable<Uint8Array>
}

/**
 * Yields the files of a backup one after another, in any order. Throws `not_found`, and `store_failed` for a broken
 * archive.
 */
export async function* backupEntries(from: string): AsyncGenerator<BackupEntry> {
  const found = await stat(from).catch(() => undefined)
  if (found === undefined)
    throw new ErrandError('not_found', `Backup ${from} not found.`, {
      hint: `Name the file or folder that errand backup --to created. Relative paths start at ${process.cwd()}`,
    })
  if (found.isDirectory()) yield* folderEntries(from)
  else yield* archiveEntries(from)
}

async function* folderEntries(folder: string): AsyncGenerator<BackupEntry> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue
    const file = path.join(entry.parentPath, entry.name)
    const name = path.relative(folder, file)
    if (!entry.isFile()) throw damaged(folder, `${name} is not a file`)
    yield { name, content: createReadStream(file) }
  }
}

async function* archiveEntries(file: string): AsyncGenerator<BackupEntry> {
  const entries = extract()
  const bytes = createReadStream(file)
  const fail = (error: Error) => entries.destroy(damaged(file, error.message))
  bytes.on('error', fail)
  const plain: Readable = file.endsWith('.tar') ? bytes : bytes.pipe(createGunzip()).on('error', fail)
  plain.pipe(entries)
  try {
    for await (const entry of entries) {
      const { name, type } = entry.header
      if (type !== 'file') throw damaged(file, `${name} is not a file`)
      yield { name, content: entry as unknown as AsyncIterable<Uint8Array> }
    }
  } catch (error) {
    throw error instanceof ErrandError ? error : damaged(file, (error as Error).message)
  } finally {
    bytes.destroy()
    entries.destroy()
  }
}
