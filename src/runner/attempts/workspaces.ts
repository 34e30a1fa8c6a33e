import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { RunId } from '../../contract/ids.ts'
import { removeTree } from '../../platform/remove-tree.ts'

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

  /** The runs that have one. */
  runs(): string[] {
    try {
      return readdirSync(this.#root).filter((name) => RunId.safeParse(name).success)
    } catch {
      return []
    }
  }

  async remove(runId: string): Promise<void> {
    await removeTree(this.path(runId))
  }
}
