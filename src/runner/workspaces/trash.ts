import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { spawnGroup } from '../../platform/child-tree.ts'
import { Mutex } from '../../platform/sync.ts'

/**
 * Script that deletes a folder. Its content may be deeper than the longest path, and closed to its own user: `rm`
 * descends step by step.
 */
const EMPTY = 'chmod -R u+rwX -- "$1" 2>/dev/null; exec rm -rf -- "$1"'

/** Deletes folders: renames them at once, so that nobody finds them, and deletes them in the background. */
export class Trash {
  readonly #dir: string
  readonly #deletions = new Mutex()

  /** Opens the trash, and deletes everything that an earlier process has left in it. */
  constructor(dir: string) {
    this.#dir = dir
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(dir)) this.#delete(join(dir, name))
  }

  /** Moves a folder into the trash; does nothing if it does not exist. It must be on the same file system. */
  take(path: string): void {
    if (!existsSync(path)) return
    const place = join(this.#dir, randomUUID())
    renameSync(path, place)
    this.#delete(place)
  }

  /** Resolves when the trash is empty, or as empty as possible. */
  async emptied(): Promise<void> {
    await this.#deletions.settled()
  }

  #delete(path: string): void {
    void this.#deletions.run(async () => {
      try {
        await once(spawnGroup(['/bin/sh', '-c', EMPTY, 'sh', path], { stdio: 'ignore' }), 'exit')
      } catch {
        // No process can be started at the moment: a later runner deletes it.
      }
    })
  }
}
