import { chmod, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Deletes a folder with all that is in it; none there is no error. */
export async function removeTree(path: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 3 }
  await rm(path, options).catch(async () => {
    // Build tools leave folders that may not be written to (Go's module cache).
    await unlockFolders(path)
    await rm(path, options)
  })
}

async function unlockFolders(path: string): Promise<void> {
  await chmod(path, 0o700)
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await unlockFolders(join(path, entry.name))
}
