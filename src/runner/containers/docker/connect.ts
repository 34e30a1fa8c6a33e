import { ErrandError } from '../../../contract/errors.ts'
import type { ContainerEngine } from '../ports.ts'
import { BotNetwork } from './bot-network.ts'
import { DockerClient, type DockerEnv, dockerAddress } from './docker-client.ts'
import { DockerEngine } from './docker-engine.ts'
import { notReached } from './errors.ts'
import { networkSettings } from './network-settings.ts'

const ANSWERS_WITHIN_MS = 10_000

interface EngineInfo {
  ServerVersion: string
  SecurityOptions: readonly string[]
}

/** Docker where DOCKER_HOST says, else at its usual socket. */
export async function connectDocker(env: DockerEnv): Promise<ContainerEngine> {
  const settings = networkSettings(env)
  try {
    const docker = new DockerClient(env)
    const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS)
    const { ServerVersion: version, SecurityOptions } = await docker.ask<EngineInfo>('GET', '/info', {
      signal,
    })
    const hasSeccomp = SecurityOptions.some((option) => /^name=seccomp(,|$)/.test(option))
    return new DockerEngine(docker, { version, hasSeccomp, env }, new BotNetwork(docker, settings))
  } catch (error) {
    if (error instanceof ErrandError) throw error
    throw notReached(dockerAddress(env), error)
  }
}
