import { lstat, readdir, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { refusedEntry } from './entry-path.ts'
import type { SkippedPaths } from './skipped-paths.ts'

export interface FolderEntry {
  /** Relative, with "/" between its parts. */
  path: string
  kind: 'file' | 'folder'
  /** Where its content is read: not `path` for a link. */
  file: string
  size: number
  executable: boolean
}

/**
 * All that is to be packed, sorted by path. Links to files within the folder count as those files. With many files and
 * rules it takes long: the signal ends it.
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
      if (!skipped.has(path)) entries.push(await entryAt(top, path))
    }
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function entryAt(top: string, path: string): Promise<FolderEntry> {
  const file = await realpath(join(top, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ELOOP') throw error
    throw refusedEntry(path, 'is a link that leads nowhere', LINK_HINT)
  })
  if (!file.startsWith(top + sep) && file !== top)
    throw refusedEntry(path, 'is a link that leads out of the folder', LINK_HINT)
  const stats = await stat(file)
  if (stats.isDirectory() && file !== join(top, path))
    throw refusedEntry(path, 'is a link to a folder', LINK_HINT)
  if (!stats.isDirectory() && !stats.isFile())
    throw refusedEntry(path, 'is neither a file nor a folder', 'Take it out, or name it in .dockerignore.')
  return {
    path,
    kind: stats.isDirectory() ? 'folder' : 'file',
    file,
    size: stats.size,
    executable: (stats.mode & 0o111) !== 0,
  }
}

const LINK_HINT = 'Put a copy in its place, or name it in .dockerignore.'
