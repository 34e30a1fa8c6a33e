import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar-stream'
import { ErrandError } from '../../contract/errors.ts'
import { damaged } from './backup-files.ts'

export interface BackupEntry {
  name: string
  /** To be read to its end before the next entry. */
  content: AsyncIterable<Uint8Array>
}

/** The files of a backup, one after the other, in any order. Throws `not_found`, and `store_failed` for a broken archive. */
export async function* backupEntries(from: string): AsyncGenerator<BackupEntry> {
  const found = await stat(from).catch(() => undefined)
  if (found === undefined)
    throw new ErrandError('not_found', `There is no backup ${from}.`, {
      hint: `Name what errand backup --to has made; a path is seen from ${process.cwd()}`,
    })
  if (found.isDirectory()) yield* folderEntries(from)
  else yield* archiveEntries(from)
}

async function* folderEntries(folder: string): AsyncGenerator<BackupEntry> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue
    const file = path.join(entry.parentPath, entry.name)
    const name = path.relative(folder, file)
    if (!entry.isFile()) throw damaged(folder, `${name} is no file`)
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
      if (type !== 'file') throw damaged(file, `${name} is no file`)
      yield { name, content: entry as unknown as AsyncIterable<Uint8Array> }
    }
  } catch (error) {
    throw error instanceof ErrandError ? error : damaged(file, (error as Error).message)
  } finally {
    bytes.destroy()
    entries.destroy()
  }
}
