import { mkdirSync } from 'node:fs'
import { chmod, readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { RunId } from '../../contract/ids.ts'

/** A folder for each run on this machine, which its steps share. */
export class Workspaces {
  readonly #root: string

  constructor(root: string) {
    this.#root = resolve(root)
  }

  /** Throws for what is no run id, and so might lead out of the root. */
  path(runId: string): string {
    return join(this.#root, RunId.parse(runId))
  }

  create(runId: string): string {
    const path = this.path(runId)
    mkdirSync(path, { recursive: true })
    return path
  }

  async remove(runId: string): Promise<void> {
    const path = this.path(runId)
    const options = { recursive: true, force: true, maxRetries: 3 }
    await rm(path, options).catch(async () => {
      // Build tools leave folders that may not be written to (Go's module cache).
      await unlockFolders(path)
      await rm(path, options)
    })
  }
}

async function unlockFolders(path: string): Promise<void> {
  await chmod(path, 0o700)
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await unlockFolders(join(path, entry.name))
}
