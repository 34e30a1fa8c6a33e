import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { spawnGroup } from '../../platform/child-tree.ts'

/** Folders may lie deeper than a path is long, and be closed to their own user: `rm` goes down step by step. */
const EMPTY = 'chmod -R u+rwX -- "$1" 2>/dev/null; exec rm -rf -- "$1"'

/** Where folders go that nobody is to find any more: at once by their name, then in the background. */
export class Trash {
  readonly #dir: string
  #last: Promise<unknown> = Promise.resolve()

  /** Deletes all that an earlier process has left in it. */
  constructor(dir: string) {
    this.#dir = dir
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(dir)) this.#delete(join(dir, name))
  }

  /** Takes a folder away; none there is no error. It must be of the same file system. */
  take(path: string): void {
    if (!existsSync(path)) return
    const place = join(this.#dir, randomUUID())
    renameSync(path, place)
    this.#delete(place)
  }

  /** Resolves when it is empty, or as empty as it gets. */
  async emptied(): Promise<void> {
    await this.#last
  }

  #delete(path: string): void {
    this.#last = this.#last.then(async () => {
      try {
        await once(spawnGroup(['/bin/sh', '-c', EMPTY, 'sh', path], { stdio: 'ignore' }), 'exit')
      } catch {
        // No process can be started just now: a later runner deletes it.
      }
    })
  }
}
