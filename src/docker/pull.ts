import { type Progress, readProgress } from './docker-answers.ts'
import type { DockerClient, RegistryLogin } from './docker-client.ts'
import { pullError } from './docker-errors.ts'

export interface PullOrder {
  image: string
  auth?: RegistryLogin
  progress: Progress
  signal: AbortSignal
}

export async function pull(docker: DockerClient, order: PullOrder): Promise<void> {
  const { image, auth, progress, signal } = order
  const at = auth && { ...auth, serveraddress: registryOf(image) }
  try {
    signal.throwIfAborted()
    // The engine would use an image that it has by this digest without asking the registry whether this user may pull
    // it.
    if (image.includes('@')) await docker.ask('GET', `/distribution/${image}/json`, { auth: at, signal })
    const [repo, digest] = image.split('@')
    const named = digest === undefined ? splitImageName(image) : { repo, tag: digest }
    const query = { fromImage: named.repo, tag: named.tag }
    await readProgress(await docker.open('POST', '/images/create', { query, auth: at, signal }), progress)
  } catch (error) {
    signal.throwIfAborted()
    throw pullError(
      image,
      { registry: registryOf(image), address: docker.address, withAuth: auth !== undefined },
      error,
    )
  }
}

/** Splits a name into `registry:5000/path` and `tag`, which defaults to `latest`. A digest stays with the path. */
export function splitImageName(name: string): { repo: string; tag?: string } {
  if (name.includes('@')) return { repo: name }
  const colon = name.lastIndexOf(':')
  if (colon < 0 || name.indexOf('/', colon) >= 0) return { repo: name, tag: 'latest' }
  return { repo: name.slice(0, colon), tag: name.slice(colon + 1) }
}

/** Returns the host of the registry to which an image name refers. */
export function registryOf(name: string): string {
  const first = name.split('/')[0]!
  const isHost = name.includes('/') && (/[.:]/.test(first) || first === 'localhost')
  return isHost ? first : 'docker.io'
}
