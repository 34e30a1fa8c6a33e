import { ErrandError } from '../../../contract/errors.ts'
import type { ContainerEngine } from '../ports.ts'
import { BotNetwork } from './bot-network.ts'
import { DockerEngine } from './docker-engine.ts'
import { notReached } from './errors.ts'
import { networkSettings } from './network-settings.ts'

const DEFAULT_SOCKET = '/var/run/docker.sock'
const ANSWERS_WITHIN_MS = 10_000

interface EngineInfo {
  ServerVersion: string
  SecurityOptions: readonly string[]
}

/** Docker where DOCKER_HOST says, else at its usual socket. The client is loaded here: a runner without bots does without. */
export async function connectDocker(
  env: Readonly<Record<string, string | undefined>>,
): Promise<ContainerEngine> {
  const settings = networkSettings(env)
  const host = env.DOCKER_HOST || `unix://${DEFAULT_SOCKET}`
  const { default: Docker } = await import('dockerode')
  // What is no socket (and its certificates) the client reads from its environment itself.
  const docker = host.startsWith('unix://')
    ? new Docker({ socketPath: host.slice('unix://'.length) })
    : new Docker()
  const address = host.replace(/^unix:\/\//, '')
  try {
    // The client takes it, its types do not know.
    const within = [{ abortSignal: AbortSignal.timeout(ANSWERS_WITHIN_MS) }] as unknown as []
    const { ServerVersion: version, SecurityOptions }: EngineInfo = await docker.info(...within)
    const hasSeccomp = SecurityOptions.some((option) => /^name=seccomp(,|$)/.test(option))
    const network = new BotNetwork(docker, settings)
    return new DockerEngine(docker, address, { version, hasSeccomp, env }, network)
  } catch (error) {
    if (error instanceof ErrandError) throw error
    throw notReached(address, error)
  }
}
