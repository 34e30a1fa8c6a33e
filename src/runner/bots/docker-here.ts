import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomText } from '../../contract/ids.ts'
import type { Hello } from '../../contract/protocol.ts'
import { askVersion } from '../../docker/docker-client.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { ChangeWatch } from '../../platform/time.ts'

const CHECK_INTERVAL_MS = 30_000

export type DockerState = Hello['containers']

/** Watches which container engine this machine has, and reports changes. */
export const watchDocker = (
  env: NodeJS.ProcessEnv,
  report: (seen: DockerState) => void,
): ChangeWatch<DockerState> =>
  new ChangeWatch<DockerState>({
    everyMs: CHECK_INTERVAL_MS,
    look: async () => {
      const version = await askVersion(env)
      return version === undefined ? undefined : { engine: 'docker', version }
    },
    report,
  })

const nameFile = (stateDir: string): string => join(stateDir, 'engine-name')

/** Reports whether this folder's runner has ever had a bot: only then can anything of it be at an engine. */
export const hasDockerName = (stateDir: string): boolean => existsSync(nameFile(stateDir))

/**
 * Returns the label of a runner's containers and images. It belongs to the folder, so two runners with the same id stay
 * separate.
 */
export function dockerName(stateDir: string): string {
  if (hasDockerName(stateDir)) return readFileSync(nameFile(stateDir), 'utf8')
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const name = `errand-${randomText(16)}`
  writeFileAtomic(nameFile(stateDir), name, { mode: 0o600 })
  return name
}
