import { mkdirSync, statSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a folder and those on the way to it; one that is there is no error. For paths that others choose: Node's own
 * `recursive` goes on for ever, on a thread that nothing ends, where a folder is there and takes no new ones (`/proc`).
 */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' || dirname(path) === path) return await mustBeFolder(path, error)
    await makeFolder(dirname(path), mode)
    await mkdir(path, { mode }).catch((again: unknown) => mustBeFolder(path, again))
  }
}

/** The same, before anything else goes on. */
export function makeFolderSync(path: string, mode?: number): void {
  for (let tries = 1; ; tries++)
    try {
      mkdirSync(path, { mode })
      return
    } catch (error) {
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' || dirname(path) === path || tries === 2) throw error
      makeFolderSync(dirname(path), mode)
    }
}

async function mustBeFolder(path: string, error: unknown): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (!found?.isDirectory()) throw error
}
