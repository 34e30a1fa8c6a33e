import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomText } from '../../contract/ids.ts'
import type { Hello } from '../../contract/protocol.ts'
import { askVersion } from '../../docker/docker-client.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { ChangeWatch } from '../../platform/time.ts'

const LOOKED_EVERY_MS = 30_000

export type DockerSeen = Hello['containers']

/** Tells which container engine this machine has. */
export const watchDocker = (
  env: NodeJS.ProcessEnv,
  tell: (seen: DockerSeen) => void,
): ChangeWatch<DockerSeen> =>
  new ChangeWatch<DockerSeen>({
    everyMs: LOOKED_EVERY_MS,
    look: async () => {
      const version = await askVersion(env)
      return version === undefined ? undefined : { engine: 'docker', version }
    },
    tell,
  })

const nameFile = (stateDir: string): string => join(stateDir, 'engine-name')

/** Whether this folder's runner has had a bot: only then anything of it can be at an engine. */
export const hasDockerName = (stateDir: string): boolean => existsSync(nameFile(stateDir))

/** The label of a runner's containers and images: of its folder, so that two with one id are told apart. */
export function dockerName(stateDir: string): string {
  if (hasDockerName(stateDir)) return readFileSync(nameFile(stateDir), 'utf8')
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const name = `errand-${randomText(16)}`
  writeFileAtomic(nameFile(stateDir), name, { mode: 0o600 })
  return name
}
