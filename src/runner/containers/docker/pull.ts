import type Docker from 'dockerode'
import type { PullOrder } from '../ports.ts'
import { pullError } from './errors.ts'
import { registryOf } from './image-name.ts'
import { readProgress } from './progress-events.ts'

export async function pull(docker: Docker, address: string, order: PullOrder): Promise<void> {
  const { image, auth, progress, signal } = order
  const authconfig = auth && { ...auth, serveraddress: registryOf(image) }
  try {
    signal.throwIfAborted()
    // What it has by that digest it would give to anybody, without a word to the registry.
    if (image.includes('@')) await docker.getImage(image).distribution({ authconfig })
    const answer = await docker.pull(image, { authconfig, abortSignal: signal })
    await readProgress(answer as AsyncIterable<Buffer>, progress)
  } catch (error) {
    signal.throwIfAborted()
    throw pullError(image, address, auth !== undefined, error)
  }
}
