import { createHash, type Hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { diskError } from '../../stores/disk-errors.ts'
import { openSqliteStores } from '../../stores/sqlite/open.ts'
import { DatabaseReader, type KnownStream, snapshotInto } from '../../stores/sqlite/snapshot.ts'
import {
  ARTIFACTS,
  type BackupFile,
  type BackupHead,
  type BackupTarget,
  backupTarget,
  CONFIG_FILES,
  DATABASE,
  isKnown,
  KEY,
  LIST,
  UPLOADS,
} from './backup-format.ts'

export interface BackupOptions {
  /** Data folder of the hub, which may be running. */
  data: string
  to: string
  withKey: boolean
  version: string
}

export interface Backup extends BackupHead {
  files: number
  bytes: number
  /**
   * Outputs that do not match their log, and changed uploads and artifacts. They were damaged in the data folder
   * already.
   */
  damaged: string[]
}

/**
 * Copies the database as of one moment, and as much of each output as that moment's log mentions: output is always
 * stored before the log mentions it. Throws `conflict`, `not_found`, `store_failed` or `disk_full`, and leaves
 * nothing then.
 */
export async function backUp({ data, to, withKey, version }: BackupOptions): Promise<Backup> {
  const source = path.join(data, DATABASE)
  if (!existsSync(source))
    throw new ErrandError('not_found', `No hub data found in ${data}: ${DATABASE} is missing.`, {
      hint: 'Name the data folder with --data.',
    })
  if (withKey && !existsSync(path.join(data, KEY)))
    throw new ErrandError('not_found', `${KEY} not found in ${data}.`, {
      hint: 'Leave --with-key out: the key is elsewhere (ERRAND_SECRETS_KEY), or there are no secrets.',
    })
  const target = await backupTarget(to)
  try {
    const backup = await new BackupWriter(data, target).write({ withKey, version })
    await target.finish()
    return backup
  } catch (error) {
    await target.discard()
    throw diskError(error, to)
  }
}

const REMOVED_WITHIN_MS = 3_000
const POLL_MS = 100

class BackupWriter {
  readonly #data: string
  readonly #target: BackupTarget
  readonly #files: BackupFile[] = []
  readonly #damaged: string[] = []
  #bytes = 0

  constructor(data: string, target: BackupTarget) {
    this.#data = data
    this.#target = target
  }

  async write({ withKey, version }: { withKey: boolean; version: string }): Promise<Backup> {
    const created_at = new Date().toISOString()
    const { scratch } = this.#target
    snapshotInto(path.join(this.#data, DATABASE), scratch)
    await this.#addUploads()
    await this.#addArtifacts()
    await forgetRuns(scratch, await this.#addOutputs(scratch))
    const reader = new DatabaseReader(scratch)
    const runs = reader.countRuns()
    reader.close()
    await this.#add(DATABASE, scratch)
    for (const name of [...CONFIG_FILES, ...(withKey ? [KEY] : [])])
      await this.#add(name, path.join(this.#data, name))
    const head: BackupHead = { format: 1, errand: version, created_at, runs, with_key: withKey }
    const list = Buffer.from([head, ...this.#files].map((line) => `${JSON.stringify(line)}\n`).join(''))
    await this.#target.add(LIST, list.length, only(list))
    return { ...head, files: this.#files.length, bytes: this.#bytes, damaged: this.#damaged }
  }

  /** Adds the outputs. Returns the runs whose output is gone because they were removed in the meantime. */
  async #addOutputs(snapshot: string): Promise<Set<string>> {
    const reader = new DatabaseReader(snapshot)
    const live = new DatabaseReader(path.join(this.#data, DATABASE))
    const short = new Map<string, string[]>()
    try {
      for (const known of reader.streams()) {
        const name = `output/${known.run_id}/${known.attempt}.${known.stream}`
        const file = path.join(this.#data, name)
        const added = await this.#add(name, file, known.length)
        if (added?.bytes !== known.length) short.set(known.run_id, [...(short.get(known.run_id) ?? []), name])
        else if (!isAsMeasured(known, added.sha256, reader)) this.#damaged.push(name)
      }
      const gone = await removedOf(live, [...short.keys()])
      for (const [runId, names] of short) if (!gone.has(runId)) this.#damaged.push(...names)
      return gone
    } finally {
      reader.close()
      live.close()
    }
  }

  /** Adds the uploads, including those without a bot, which may be about to get one, but not those still arriving. */
  async #addUploads(): Promise<void> {
    for (const tenant of await namesIn(path.join(this.#data, UPLOADS)))
      for (const sha256 of await namesIn(path.join(this.#data, UPLOADS, tenant)))
        await this.#addContent(`${UPLOADS}/${tenant}/${sha256}`, sha256)
  }

  /** Adds the artifacts; each was stored before the log mentioned it. */
  async #addArtifacts(): Promise<void> {
    for (const user of await namesIn(path.join(this.#data, ARTIFACTS)))
      for (const runId of await namesIn(path.join(this.#data, ARTIFACTS, user)))
        for (const sha256 of await namesIn(path.join(this.#data, ARTIFACTS, user, runId)))
          await this.#addContent(`${ARTIFACTS}/${user}/${runId}/${sha256}`, sha256)
  }

  /** Adds a file whose name is the hash of its content. */
  async #addContent(name: string, sha256: string): Promise<void> {
    if (!isKnown(name)) return
    const added = await this.#add(name, path.join(this.#data, name))
    if (added !== undefined && added.sha256 !== sha256) this.#damaged.push(name)
  }

  /** Adds at most `most` bytes of the file. Returns undefined if there is no such file. */
  async #add(name: string, file: string, most = Number.POSITIVE_INFINITY): Promise<BackupFile | undefined> {
    const handle = await openIfPresent(file)
    if (handle === undefined) return undefined
    try {
      const bytes = Math.min((await handle.stat()).size, most)
      const hash = createHash('sha256')
      await this.#target.add(name, bytes, firstBytes(handle, bytes, hash))
      const added = { path: name, bytes, sha256: hash.digest('hex') }
      this.#files.push(added)
      this.#bytes += bytes
      return added
    } finally {
      await handle.close()
    }
  }
}

function isAsMeasured(known: KnownStream, sha256: string, reader: DatabaseReader): boolean {
  const end = reader.end(known)
  return end === undefined || end.length !== known.length || end.sha256 === sha256
}

/** Returns which of the runs were removed. The record of a run is removed after its output, so this waits a little. */
async function removedOf(live: DatabaseReader, runIds: readonly string[]): Promise<Set<string>> {
  let there = [...runIds]
  for (let waitedMs = 0; there.length > 0 && waitedMs < REMOVED_WITHIN_MS; waitedMs += POLL_MS) {
    there = there.filter((runId) => live.hasRun(runId))
    if (there.length > 0) await sleep(POLL_MS)
  }
  return new Set(runIds.filter((runId) => !there.includes(runId)))
}

/** Removes from the copy the runs that no longer exist in the original. */
async function forgetRuns(copy: string, runIds: ReadonlySet<string>): Promise<void> {
  if (runIds.size === 0) return
  const stores = await openSqliteStores({ file: copy })
  await stores.runs.remove([...runIds])
  stores.close()
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

const PIECE_BYTES = 256 * 1024

/** Returns undefined if there is no such file. */
async function openIfPresent(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Returns the names in a folder, or none if there is no folder. A file that somebody has put there does not count. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

/** Yields the first `bytes` of a file in pieces, and updates `hash` with them. Throws if the file is shorter. */
async function* firstBytes(handle: FileHandle, bytes: number, hash: Hash): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes; ) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, bytes - at))
    const { bytesRead } = await handle.read(piece, 0, piece.length, at)
    if (bytesRead === 0) throw new Error(`a file is ${bytes - at} bytes too short`)
    at += bytesRead
    const read = piece.subarray(0, bytesRead)
    hash.update(read)
    yield read
  }
}
