import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RunSecrets } from '../engine/ports.ts'
import { KeyRing } from '../hub/secrets/key-ring.ts'
import { seal, unseal } from '../hub/secrets/sealing.ts'
import { writeFileAtomic } from '../platform/atomic-file.ts'

type Run = Parameters<RunSecrets['ofRun']>[0]

/**
 * The secrets of runs that are kept in a folder of this machine: a sealed file for each, and a key that is made with the
 * first. As a hub's, it protects a copy of the runs, not one of the whole folder.
 */
export class RunSecretFiles implements RunSecrets {
  readonly #folder: string
  readonly #keys: KeyRing

  constructor(folder: string) {
    this.#folder = join(folder, 'secrets')
    this.#keys = new KeyRing({ env: {}, file: join(folder, 'secrets.key') })
  }

  /** Throws `store_failed`. */
  async setOfRun(run: Run, values: Readonly<Record<string, string>>): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const [key] = this.#keys.keys({ make: true }).all
    writeFileAtomic(this.#file(run), seal(JSON.stringify(values), key, placeOf(run)), { mode: 0o600 })
  }

  async ofRun(run: Run): Promise<Record<string, string>> {
    let sealed: Buffer
    try {
      sealed = readFileSync(this.#file(run))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      throw error
    }
    const [key] = this.#keys.keys({ make: false }).all
    return JSON.parse(unseal(sealed, key, placeOf(run)))
  }

  async dropOfRun(run: Run): Promise<void> {
    rmSync(this.#file(run), { force: true })
  }

  #file({ run_id }: Run): string {
    return join(this.#folder, run_id)
  }
}

const placeOf = ({ run_id }: Run) => ({ tenant: '', scope: 'run', scope_name: run_id, name: '' }) as const
