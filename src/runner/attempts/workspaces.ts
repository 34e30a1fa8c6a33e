import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { RunId } from '../../contract/ids.ts'
import { removeTree } from '../../platform/files.ts'

/** The folders of sessions that a later run may go on with. */
interface SessionFolders {
  /** Of whose runs they are. */
  runs(): ReadonlySet<string>
  /** Takes away those that were not used for long, but for those of these attempts. */
  sweep(inUse: ReadonlySet<string>): Promise<void>
}

/** The checkouts of repositories that runs work in, instead of a folder of their own. */
export interface RunCheckouts {
  of(runId: string): { work: string; mirror: string } | undefined
  runs(): string[]
  /** The run is over, and a later one may go on in it. */
  keep(runId: string): void
  /** The run is over. */
  release(runId: string): Promise<void>
}

/** Where the steps of a run work: in a folder for each run, or all in this process's folder. */
export class Workspaces {
  readonly #root: string | undefined
  readonly #homes: SessionFolders | undefined
  readonly #checkouts: RunCheckouts | undefined

  /** Without a root no run has a folder of its own. `homes`: of the sessions that a later run may go on with. */
  constructor(root: string | undefined, homes: SessionFolders | undefined, checkouts?: RunCheckouts) {
    this.#root = root === undefined ? undefined : resolve(root)
    this.#homes = homes
    this.#checkouts = checkouts
  }

  /** The run's own folder, there or not. Throws for what is no run id, and so might lead out of the root. */
  own(runId: string): string | undefined {
    return this.#checkouts?.of(runId)?.work ?? this.#folder(runId)
  }

  /** Places beside it that its programs read: the copy of the repository that a checkout borrows from. */
  readable(runId: string): string[] {
    const checkout = this.#checkouts?.of(runId)
    return checkout === undefined ? [] : [checkout.mirror]
  }

  /** Where its steps work. */
  path(runId: string): string {
    return this.own(runId) ?? process.cwd()
  }

  /** The same, and it is there, for this user alone: the root may be a folder that is open to others. */
  create(runId: string): string {
    const checkout = this.#checkouts?.of(runId)
    if (checkout) return checkout.work
    const own = this.#folder(runId)
    if (own !== undefined) mkdirSync(own, { recursive: true, mode: 0o700 })
    return own ?? process.cwd()
  }

  /** The runs that have a folder of their own, but for those that `forget` would keep. */
  runs(): string[] {
    const kept = this.#homes?.runs()
    const all = new Set([...this.#made(), ...(this.#checkouts?.runs() ?? [])])
    return [...all].filter((name) => !kept?.has(name))
  }

  /** The run is over. A later run may go on with a session of it, and then finds its files. */
  async forget(runId: string): Promise<void> {
    if (this.#homes?.runs().has(runId)) this.#checkouts?.keep(runId)
    else await this.#remove(runId)
  }

  /**
   * Takes away the sessions that were not used for long, but for those of these attempts. Where they worked is among
   * `runs` from then on, and goes when the run is over: it may wait for an approval.
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
