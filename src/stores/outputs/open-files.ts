import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import path from 'node:path'
import { openBeneath } from '../../platform/beneath.ts'
import { makeFolder } from '../../platform/files.ts'

/**
 * Ways to open a file: `write` creates the file and its folder; `rewrite` also empties it, at its first opening here.
 */
export type Opening = 'read' | 'write' | 'rewrite'

/** Mode that makes a run's output private to its owner. */
export const PRIVATE_FOLDER = 0o700

interface OpenFile {
  handle: Promise<FileHandle>
  users: number
  /** True once it can no longer be found; it is closed when its last user is done. */
  dropped: boolean
}

/**
 * Caches open descriptors by file, so that frequent small writes do not reopen it; the least recently used are closed.
 */
export class OpenFiles {
  readonly #max: number
  readonly #folderMode: number | undefined
  readonly #beneath: string | undefined
  readonly #files = new Map<string, OpenFile>()

  /**
   * `folderMode`: mode of the folders that it creates; default: the umask decides. `beneath`: a folder that others may
   * change meanwhile; all files are inside it, and no link is followed.
   */
  constructor(max: number, folderMode?: number, beneath?: string) {
    this.#max = max
    this.#folderMode = folderMode
    this.#beneath = beneath
  }

  get size(): number {
    return this.#files.size
  }

  /** Calls back with the file open. Calls for one file may overlap. */
  async use<T>(file: string, opening: Opening, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const key = keyOf(file, opening === 'read')
    const entry = this.#files.get(key) ?? {
      handle:
        this.#beneath === undefined
          ? openFile(file, opening, this.#folderMode)
          : openBeneath(this.#beneath, file, FLAGS[opening]),
      users: 0,
      dropped: false,
    }
    this.#files.delete(key)
    this.#files.set(key, entry)
    entry.users++
    try {
      const handle = await entry.handle.catch((error) => {
        if (this.#files.get(key) === entry) this.#files.delete(key)
        throw error
      })
      return await work(handle)
    } finally {
      entry.users--
      if (entry.users === 0 && entry.dropped) await closeQuietly(entry)
      this.#evict()
    }
  }

  /** Closes the file if it is open, once nobody uses it. */
  async close(file: string): Promise<void> {
    for (const key of [keyOf(file, true), keyOf(file, false)]) await this.#drop(key)
  }

  /** Closes all files below the folder, as `close` does. */
  async closeBelow(folder: string): Promise<void> {
    for (const key of [...this.#files.keys()])
      if (key.slice(2).startsWith(folder + path.sep)) await this.#drop(key)
  }

  async closeAll(): Promise<void> {
    for (const key of [...this.#files.keys()]) await this.#drop(key)
  }

  #evict(): void {
    for (const [key, entry] of this.#files) {
      if (this.#files.size <= this.#max) return
      if (entry.users === 0) void this.#drop(key)
    }
  }

  async #drop(key: string): Promise<void> {
    const entry = this.#files.get(key)
    if (entry === undefined) return
    this.#files.delete(key)
    entry.dropped = true
    if (entry.users === 0) await closeQuietly(entry)
  }
}

const keyOf = (file: string, read: boolean): string => `${read ? 'r' : 'w'} ${file}`

const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_TRUNC } = constants
const FLAGS = { read: O_RDONLY, write: O_RDWR | O_CREAT, rewrite: O_WRONLY | O_CREAT | O_TRUNC }

async function openFile(file: string, opening: Opening, mode: number | undefined): Promise<FileHandle> {
  if (opening === 'read') return open(file, 'r')
  // Not 'a': a write goes to its offset.
  const flags = opening === 'rewrite' ? 'w' : 'r+'
  try {
    return await open(file, flags)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    await makeFolder(path.dirname(file), mode)
    return open(file, 'w')
  }
}

async function closeQuietly(entry: OpenFile): Promise<void> {
  const handle = await entry.handle.catch(() => undefined)
  await handle?.close().catch(() => {})
}
