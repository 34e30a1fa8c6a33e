import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { RunId } from '../../contract/ids.ts'
import { removeTree } from '../../platform/files.ts'

/** Describes the folders of sessions that a later run may resume. */
interface SessionFolders {
  /** Returns the runs that they belong to. */
  runs(): ReadonlySet<string>
  /** Deletes the folders that were not used for a long time, except those of these attempts. */
  sweep(inUse: ReadonlySet<string>): Promise<void>
}

/** Describes the checkouts of repositories that runs use instead of a folder of their own. */
export interface RunCheckouts {
  of(runId: string): { work: string; mirror: string } | undefined
  runs(): string[]
  /** Ends the run, but stores the checkout so that a later run may continue in it. */
  keep(runId: string): void
  /** Ends the run. */
  release(runId: string): Promise<void>
}

/** Manages the folders where the steps of a run work: one for each run, or this process's folder for all. */
export class Workspaces {
  readonly #root: string | undefined
  readonly #homes: SessionFolders | undefined
  readonly #checkouts: RunCheckouts | undefined

  /** Without a root, no run has its own folder. `homes` are the folders of sessions that a later run may resume. */
  constructor(root: string | undefined, homes: SessionFolders | undefined, checkouts?: RunCheckouts) {
    this.#root = root === undefined ? undefined : resolve(root)
    this.#homes = homes
    this.#checkouts = checkouts
  }

  /**
   * Returns the run's own folder, whether it exists or not. Throws for an invalid run id, which might lead outside the
   * root.
   */
  own(runId: string): string | undefined {
    return this.#checkouts?.of(runId)?.work ?? this.#folder(runId)
  }

  /** Returns other folders that its programs may read: the copy of the repository that a checkout borrows from. */
  readable(runId: string): string[] {
    const checkout = this.#checkouts?.of(runId)
    return checkout === undefined ? [] : [checkout.mirror]
  }

  /** Returns the folder where its steps work. */
  path(runId: string): string {
    return this.own(runId) ?? process.cwd()
  }

  /** Returns the same folder and creates it, for this user alone: the root may be open to others. */
  create(runId: string): string {
    const checkout = this.#checkouts?.of(runId)
    if (checkout) return checkout.work
    const own = this.#folder(runId)
    if (own !== undefined) mkdirSync(own, { recursive: true, mode: 0o700 })
    return own ?? process.cwd()
  }

  /** Returns the runs that have their own folder, except those that `forget` would keep. */
  runs(): string[] {
    const runs = this.#homes?.runs()
    const all = new Set([...this.#made(), ...(this.#checkouts?.runs() ?? [])])
    return [...all].filter((name) => !runs?.has(name))
  }

  /** Ends a run. If a later run may resume one of its sessions, the files stay for that. */
  async forget(runId: string): Promise<void> {
    if (this.#homes?.runs().has(runId)) this.#checkouts?.keep(runId)
    else await this.#remove(runId)
  }

  /**
   * Deletes the sessions that were not used for a long time, except those of these attempts. Their working folders are
   * then among `runs`, and go when the run is over: it may still wait for an approval.
   */
  async sweep(inUse: ReadonlySet<string>): Promise<void> {
    await this.#homes?.sweep(inUse)
  }

  #made(): string[] {
    if (this.#root === undefined) return []
    try {
      return readdirSync(this.#root).filter((name) => RunId.safeParse(name).success)
    } catch {
      return []
    }
  }

  #folder(runId: string): string | undefined {
    return this.#root === undefined ? undefined : join(this.#root, RunId.parse(runId))
  }

  async #remove(runId: string): Promise<void> {
    await this.#checkouts?.release(runId)
    const own = this.#folder(runId)
    if (own !== undefined) await removeTree(own)
  }
}
