import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { RunSecrets, SecretSource } from '../../engine/ports.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { ArtifactKeeper } from '../../runner/artifacts/artifact-keeper.ts'
import { AttemptsHost } from '../../runner/local/attempts-host.ts'
import type { Boxes } from '../../runner/sandbox/boxes.ts'
import type { GivenSecrets } from '../../stores/secrets/given-secrets.ts'
import { KeyRing, seal, unseal } from '../../stores/secrets/key-ring.ts'
import { errandHome, ownPlaces } from './errand-home.ts'
import type { OwnRecord } from './local-run-registry.ts'

/** Returns the folder of the agent runs of this machine, with all that belongs to them. */
export const localFolder = (): string => join(errandHome(), 'local')

/** Stores the secrets of single runs beside the runs in this folder. */
export async function keepSecretsIn(folder: string, secrets: GivenSecrets): Promise<void> {
  const { RunSecretFiles } = await import('./local-sessions.ts')
  secrets.keepIn(new RunSecretFiles(folder))
}

/**
 * Returns the host that runs a command's agent sessions on this machine. Agents may work in any folder. Its code is
 * loaded with the first session.
 */
export function localSessions(record: OwnRecord, secrets?: SecretSource): AttemptsHost {
  const folder = localFolder()
  return new AttemptsHost({
    root: join(folder, 'attempts'),
    secrets,
    open: async (dir) => {
      record.add(basename(dir))
      const { openSessions } = await import('../startup/open-sessions.ts')
      return await openSessions(dir, folder, ownPlaces())
    },
  })
}

/** Opens the boxes of a command that runs steps on this machine. Loaded with the first step that asks for one. */
export async function localBoxes(): Promise<Boxes> {
  const { sharedBoxes } = await import('../startup/open-sessions.ts')
  return await sharedBoxes(localFolder(), ownPlaces())
}

/** Opens the store for artifacts of steps that run on this machine. Loaded with the first step that needs it. */
export async function localArtifacts(): Promise<ArtifactKeeper> {
  const { openArtifacts } = await import('../startup/open-sessions.ts')
  return openArtifacts(localFolder())
}

type Run = Parameters<RunSecrets['ofRun']>[0]

/**
 * Stores the secrets of runs in a folder of this machine: a sealed file for each run, and a key that is created with
 * the first. As at a hub, the key protects a copy of the runs, but not a copy of the whole folder.
 */
export class RunSecretFiles implements RunSecrets {
  readonly #folder: string
  readonly #keys: KeyRing

  constructor(folder: string) {
    this.#folder = join(folder, 'secrets')
    this.#keys = new KeyRing({ env: {}, file: join(folder, 'secrets.key') })
  }

  /** Seals and stores the secrets of a run. Throws `store_failed`. */
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
