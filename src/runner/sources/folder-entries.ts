import type { Stats } from 'node:fs'
import { lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import type { EntryKind } from './entry-names.ts'
import { refusedEntry } from './entry-path.ts'
import type { SkippedPaths } from './skipped-paths.ts'

export interface FolderEntry {
  /** Relative, with "/" between its parts. */
  path: string
  kind: EntryKind
  /** Where it stands. */
  file: string
  size: number
  executable: boolean
  /** Of a link, wherever that leads: it is followed nowhere. */
  target?: string
}

/**
 * All that is to be packed, sorted by path. With many files and rules it takes long: the signal ends it.
 */
export async function folderEntries(
  folder: string,
  skipped: SkippedPaths,
  signal?: AbortSignal,
): Promise<FolderEntry[]> {
  const top = await realpath(folder)
  const entries: FolderEntry[] = []
  const left = ['']
  for (let parent = left.pop(); parent !== undefined; parent = left.pop()) {
    for (const name of await readdir(join(top, parent))) {
      signal?.throwIfAborted()
      const path = parent === '' ? name : `${parent}/${name}`
      const found = await lstat(join(top, path))
      if (found.isDirectory() && skipped.enters(path)) left.push(path)
      if (!skipped.has(path)) entries.push(await entryAt(top, path, found))
    }
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function entryAt(top: string, path: string, found: Stats): Promise<FolderEntry> {
  const file = join(top, path)
  const entry = { path, file, size: found.size, executable: (found.mode & 0o111) !== 0 }
  if (found.isSymbolicLink()) return { ...entry, kind: 'link', size: 0, target: await targetOf(file, top) }
  if (!found.isDirectory() && !found.isFile())
    throw refusedEntry(path, 'is neither a file nor a folder', 'Take it out, or name it in .dockerignore.')
  return { ...entry, kind: found.isDirectory() ? 'folder' : 'file' }
}

/** As it stands there; an absolute path into the folder itself would mean nothing elsewhere, and becomes a relative one. */
async function targetOf(link: string, top: string): Promise<string> {
  const target = await readlink(link)
  if (!isAbsolute(target)) return target
  const to = await realpath(link).catch(() => '')
  return to.startsWith(top + sep) ? relative(dirname(link), to) : target
}
