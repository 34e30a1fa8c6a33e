import { join } from 'node:path'
import { AttemptsHost } from '../runner/local/attempts-host.ts'
import { errandHome } from './errand-home.ts'

/** Keeps the runs of agents of this machine, with all that belongs to them. */
export const localFolder = (): string => join(errandHome(), 'local')

/**
 * Carries out the sessions with agents of a command on this machine, where agents may work in any folder. What that
 * takes is loaded with the first session.
 */
export function localSessions(): AttemptsHost {
  const folder = localFolder()
  return new AttemptsHost({
    root: join(folder, 'attempts'),
    open: async (dir) => {
      const { openSessions } = await import('./open-sessions.ts')
      return openSessions(dir, folder)
    },
  })
}
