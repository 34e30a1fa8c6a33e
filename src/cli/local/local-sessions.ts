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

/** Keeps the runs of agents of this machine, with all that belongs to them. */
export const localFolder = (): string => join(errandHome(), 'local')

/** The secrets of single runs are kept beside the runs of this folder. */
export async function keepSecretsIn(folder: string, secrets: GivenSecrets): Promise<void> {
  const { RunSecretFiles } = await import('./local-sessions.ts')
  secrets.keepIn(new RunSecretFiles(folder))
}

/**
 * Carries out the sessions with agents of a command on this machine, where agents may work in any folder. What that
 * takes is loaded with the first session.
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

/** The boxes of a command that runs steps on this machine, loaded with the first step that asks for one. */
export async function localBoxes(): Promise<Boxes> {
  const { openBoxes } = await import('../startup/open-sessions.ts')
  return await openBoxes(localFolder(), ownPlaces())
}

/** Keeps the files of steps that a command runs on this machine, loaded with the first step that asks for it. */
export async function localArtifacts(): Promise<ArtifactKeeper> {
  const { openArtifacts } = await import('../startup/open-sessions.ts')
  return openArtifacts(localFolder())
}

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
