import { lstat, readdir } from 'node:fs/promises'

export interface FolderSizeOptions {
  signal: AbortSignal
  /** Larger is all the same: it need not be counted to its end. */
  enoughBytes: number
  /**
   * Each file and folder counts so much at least, what has a path that is too long for the system is Infinity, and what may not
   * be looked at is an error: of a folder whose owner would gain by what is not counted. Default: each counts what it has.
   */
  leastBytes?: number
}

/** What stands in a folder, in bytes of the disk; a file with several names counts once, links are not followed. */
export async function folderSize(
  folder: string,
  { signal, enoughBytes, leastBytes }: FolderSizeOptions,
): Promise<number> {
  const seen = new Set<string>()
  let bytes = 0
  // Names are bytes: what is no UTF-8 would not be found again by its text.
  const left = [Buffer.from(folder)]
  const unless = (error: NodeJS.ErrnoException): undefined => {
    if (leastBytes !== undefined && error.code === 'EACCES') throw error
    if (leastBytes !== undefined && error.code === 'ENAMETOOLONG') bytes = Number.POSITIVE_INFINITY
  }
  while (left.length > 0 && !signal.aborted && bytes <= enoughBytes) {
    const path = left.pop()!
    // It changes while it is counted: what is gone meanwhile counts nothing.
    const entries = await readdir(path, { withFileTypes: true, encoding: 'buffer' }).catch(unless)
    for (const entry of entries ?? []) {
      const file = Buffer.concat([path, SLASH, entry.name])
      if (entry.isDirectory()) left.push(file)
      const stat = await lstat(file).catch(unless)
      if (stat === undefined) continue
      const name = `${stat.dev} ${stat.ino}`
      if (stat.nlink > 1 && !entry.isDirectory()) {
        if (seen.has(name)) continue
        seen.add(name)
      }
      bytes += Math.max(stat.blocks * 512, leastBytes ?? 0)
      if (bytes > enoughBytes) break
    }
  }
  return bytes
}

const SLASH = Buffer.from('/')
