import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface FolderSizeOptions {
  signal: AbortSignal
  /** Larger is all the same: it need not be counted to its end. */
  enoughBytes: number
}

/** What stands in a folder, in bytes of the disk; a file with several names counts once, links are not followed. */
export async function folderSize(
  folder: string,
  { signal, enoughBytes }: FolderSizeOptions,
): Promise<number> {
  const seen = new Set<string>()
  let bytes = 0
  const left = [folder]
  while (left.length > 0 && !signal.aborted && bytes <= enoughBytes) {
    const path = left.pop()!
    // It changes while it is counted: what is gone meanwhile counts nothing.
    const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const file = join(path, entry.name)
      if (entry.isDirectory()) left.push(file)
      const stat = await lstat(file).catch(() => undefined)
      if (stat === undefined) continue
      const name = `${stat.dev} ${stat.ino}`
      if (stat.nlink > 1 && !entry.isDirectory()) {
        if (seen.has(name)) continue
        seen.add(name)
      }
      bytes += stat.blocks * 512
    }
  }
  return bytes
}
