import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { endTree, spawnGroup } from '../../../platform/child-tree.ts'
import { holdersOf, processesMarked } from '../../../platform/proc.ts'
import { lastText } from '../last-text.ts'
import { type FoundRunner, ProvisionError, type Provisioner, type ProvisionNeed } from '../provisioner.ts'

export interface ProcessProvisionerOptions {
  /** The program of a runner, and its arguments. */
  runner: readonly string[]
  /** Has a folder for each runner, and nothing else. */
  folder: string
  /** Without what a runner may not know. */
  env: Readonly<Record<string, string | undefined>>
  /** How long a runner may take to go when it is told to. Default 10,000. */
  graceMs?: number
}

/** Tells the process of a made runner from all others; the steps that it carries out do not get it. */
const MARK = 'ERRAND_MADE_RUNNER'
const LOG = 'runner.log'
const MAX_TOLD = 2_000

/**
 * Makes runners as processes of the hub's machine, each with a folder of its own. They outlive the hub: a later one knows them by
 * a mark in their environment.
 */
export class ProcessProvisioner implements Provisioner {
  readonly #options: ProcessProvisionerOptions

  constructor(options: ProcessProvisionerOptions) {
    this.#options = options
  }

  async provision({ name, env }: ProvisionNeed): Promise<void> {
    if (processesMarked(`${MARK}=${name}\0`).length > 0) return
    const { runner, env: base } = this.#options
    const folder = this.#folderOf(name)
    let log: number | undefined
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      log = openSync(join(folder, LOG), 'a', 0o600)
      const child = spawnGroup(runner, {
        cwd: folder,
        stdio: ['ignore', log, log],
        env: { ...base, ...env, WORKSPACE_DIR: folder, [MARK]: name },
      })
      await once(child, 'spawn')
      child.unref()
    } catch (cause) {
      throw new ProvisionError(`The runner could not be started: ${(cause as Error).message}.`, { cause })
    } finally {
      if (log !== undefined) closeSync(log)
    }
  }

  async find(): Promise<FoundRunner[]> {
    const { folder } = this.#options
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw new ProvisionError(`${folder} cannot be read: ${error.message}.`, { cause: error })
    })
    return Promise.all(
      names.map(async (name): Promise<FoundRunner> => {
        if (processesMarked(`${MARK}=${name}\0`).length > 0) return { name, state: 'running' }
        const said = await lastText(join(folder, name, LOG), MAX_TOLD)
        return { name, state: 'ended', message: said === '' ? 'Its process has ended.' : said }
      }),
    )
  }

  async remove(name: string): Promise<void> {
    const folder = this.#folderOf(name)
    const isThere = (await stat(folder).catch(() => undefined)) !== undefined
    if (!isThere && processesMarked(`${MARK}=${name}\0`).length === 0) return
    const { graceMs = 10_000 } = this.#options
    // First the runner alone, which says goodbye; then whatever it has left.
    const tree = { mark: `${MARK}=${name}` }
    const gone =
      (await endTree(tree, graceMs)) && (await endTree({ ...tree, members: () => holdersOf(folder) }, 0))
    if (!gone) throw new ProvisionError('A process of it cannot be ended.')
    try {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    } catch (cause) {
      throw new ProvisionError(`Its folder cannot be removed: ${(cause as Error).message}.`, { cause })
    }
  }

  #folderOf(name: string): string {
    return join(this.#options.folder, name)
  }
}
