import type { PullOrder } from '../ports.ts'
import type { DockerClient } from './docker-client.ts'
import { pullError } from './errors.ts'
import { registryOf, splitImageName } from './image-name.ts'
import { readProgress } from './progress-events.ts'

export async function pull(docker: DockerClient, order: PullOrder): Promise<void> {
  const { image, auth, progress, signal } = order
  const at = auth && { ...auth, serveraddress: registryOf(image) }
  try {
    signal.throwIfAborted()
    // What it has by that digest it would give to anybody, without a word to the registry.
    if (image.includes('@')) await docker.ask('GET', `/distribution/${image}/json`, { auth: at })
    const [repo, digest] = image.split('@')
    const named = digest === undefined ? splitImageName(image) : { repo, tag: digest }
    const query = { fromImage: named.repo, tag: named.tag }
    await readProgress(await docker.open('POST', '/images/create', { query, auth: at, signal }), progress)
  } catch (error) {
    signal.throwIfAborted()
    throw pullError(image, docker.address, auth !== undefined, error)
  }
}
