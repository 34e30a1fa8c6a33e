import { basename, join } from 'node:path'
import type { GivenSecrets } from '../engine/given-secrets.ts'
import type { SecretSource } from '../engine/ports.ts'
import { AttemptsHost } from '../runner/local/attempts-host.ts'
import { errandHome } from './errand-home.ts'
import type { OwnRecord } from './own-record.ts'

/** Keeps the runs of agents of this machine, with all that belongs to them. */
export const localFolder = (): string => join(errandHome(), 'local')

/** The secrets of single runs are kept beside the runs of this folder. */
export async function keepSecretsIn(folder: string, secrets: GivenSecrets): Promise<void> {
  const { RunSecretFiles } = await import('./run-secret-files.ts')
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
      const { openSessions } = await import('./open-sessions.ts')
      return openSessions(dir, folder)
    },
  })
}
