import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ErrandError } from '../../contract/errors.ts'
import { syncFolder } from '../../platform/files.ts'
import { jsonOf } from '../../platform/text.ts'
import { diskError } from '../../stores/disk-errors.ts'
import { forgetProvisionedRunners } from '../../stores/sqlite/snapshot.ts'
import { BackupFile, BackupHead, backupEntries, DATABASE, damaged, isKnown, LIST } from './backup-format.ts'

export interface RestoreOptions {
  from: string
  /** An empty data folder. The caller holds its lock, whose file is named here. */
  data: string
  lockFile: string
}

const MAKING = '.restoring-'

/**
 * Puts the files of a backup into an empty data folder, after checking all of them against the backup's list. Throws
 * `conflict` if the folder is not empty, `not_found`, `store_failed` or `disk_full`, and leaves nothing then.
 */
export async function restore({ from, data, lockFile }: RestoreOptions): Promise<BackupHead> {
  for (const name of await readdir(data)) {
    // Left by an interrupted restore.
    if (name.startsWith(MAKING)) await rm(path.join(data, name), { recursive: true, force: true })
    else if (name !== lockFile)
      throw new ErrandError('conflict', `The data folder ${data} is not empty: it contains ${name}.`, {
        hint: 'Name an empty or new folder with --data.',
      })
  }
  const making = path.join(data, `${MAKING}${process.pid}`)
  await mkdir(making, { mode: 0o700 })
  try {
    const found = await unpack(from, making)
    const head = await compare(from, path.join(making, LIST), found)
    await rm(path.join(making, LIST))
    // The hub that made the backup may continue alongside this one.
    forgetProvisionedRunners(path.join(making, DATABASE))
    // The database comes last: without one, a folder is not a hub's.
    const names = await readdir(making)
    for (const name of names.sort((a, b) => Number(a === DATABASE) - Number(b === DATABASE)))
      await rename(path.join(making, name), path.join(data, name))
    syncFolder(data)
    return head
  } catch (error) {
    throw diskError(error, data)
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

type UnpackedBackup = Map<string, Omit<BackupFile, 'path'>>

async function unpack(from: string, folder: string): Promise<UnpackedBackup> {
  const found: UnpackedBackup = new Map()
  const names = new Set<string>()
  for await (const { name, content } of backupEntries(from)) {
    if (!isKnown(name))
      throw damaged(from, `it contains ${JSON.stringify(name)}, which does not belong in a backup`)
    if (names.has(name)) throw damaged(from, `it contains ${name} twice`)
    names.add(name)
    const file = path.join(folder, name)
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const hash = createHash('sha256')
    let bytes = 0
    const hashed = async function* (pieces: AsyncIterable<Uint8Array>) {
      for await (const piece of pieces) {
        hash.update(piece)
        bytes += piece.length
        yield piece
      }
    }
    await pipeline(content, hashed, createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true }))
    if (name !== LIST) found.set(name, { bytes, sha256: hash.digest('hex') })
  }
  return found
}

async function compare(from: string, listFile: string, found: UnpackedBackup): Promise<BackupHead> {
  const text = await readFile(listFile, 'utf8').catch(() => {
    throw damaged(from, `it has no ${LIST}`)
  })
  const [first = '', ...lines] = text.trimEnd().split('\n')
  const head = BackupHead.safeParse(jsonOf(first))
  if (!head.success) throw damaged(from, `${LIST} is not a list that this version of Errand can read`)
  for (const line of lines) {
    const file = BackupFile.safeParse(jsonOf(line))
    if (!file.success) throw damaged(from, `${LIST} has an invalid line`)
    const { path: name, bytes, sha256 } = file.data
    const there = found.get(name)
    if (there === undefined) throw damaged(from, `${name} is missing`)
    if (there.bytes !== bytes || there.sha256 !== sha256)
      throw damaged(from, `${name} has changed since the backup`)
    found.delete(name)
  }
  const [more] = found.keys()
  if (more !== undefined) throw damaged(from, `${more} is not in its list`)
  return head.data
}
