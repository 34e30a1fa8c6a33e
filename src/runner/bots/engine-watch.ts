import type { Hello } from '../../contract/protocol.ts'
import { ChangeWatch } from '../change-watch.ts'
import { askVersion } from '../containers/docker/ask-version.ts'

const LOOKED_EVERY_MS = 30_000

export type EngineSeen = Hello['containers']

/** Tells which container engine this machine has. */
export const watchEngine = (
  env: NodeJS.ProcessEnv,
  tell: (seen: EngineSeen) => void,
): ChangeWatch<EngineSeen> =>
  new ChangeWatch<EngineSeen>({
    everyMs: LOOKED_EVERY_MS,
    look: async () => {
      const version = await askVersion(env)
      return version === undefined ? undefined : { engine: 'docker', version }
    },
    tell,
  })
