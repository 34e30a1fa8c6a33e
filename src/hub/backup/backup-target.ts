import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { ErrandError } from '../../contract/errors.ts'
import { makeFolder } from '../../platform/make-folder.ts'
import { diskError, isMissing } from '../store/disk-errors.ts'

/** Where a backup goes. Files come one at a time. */
export interface BackupTarget {
  /** A path beside the target for a file that is not in it yet. */
  readonly scratch: string
  add(name: string, bytes: number, pieces: AsyncIterable<Buffer>): Promise<void>
  /** All is in it: the target appears under its name. */
  finish(): Promise<void>
  /** Leaves nothing of it. After `finish` it does nothing. May be called twice. */
  discard(): Promise<void>
}

const archive = /\.(tar|tar\.gz|tgz)$/

/** An archive where the name says so, else a folder. Throws `conflict` where something is there already, `store_failed`. */
export async function backupTarget(to: string): Promise<BackupTarget> {
  const target = path.resolve(to)
  try {
    if (await isThere(target))
      throw new ErrandError('conflict', `${to} is there already.`, { hint: 'Name another file or folder.' })
    const making = `${target}.${process.pid}.making`
    await makeFolder(path.dirname(target))
    return archive.test(target) ? archiveTarget(target, making) : await folderTarget(target, making)
  } catch (error) {
    throw diskError(error, to)
  }
}

/** An empty folder is nothing. */
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
  // A failure to write is told by the one who waits for the next file, or for the end.
  const failed = written.then(
    () => new Promise<never>(() => {}),
    (error) => Promise.reject(error),
  )
  failed.catch(() => {})
  return {
    scratch,
    async add(name, bytes, pieces) {
      const entry = tar.entry({ name, size: bytes, mode: 0o600 })
      await Promise.race([pipeline(Readable.from(pieces), entry), failed])
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
