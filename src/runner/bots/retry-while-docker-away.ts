import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { Backoff } from '../../platform/time.ts'

/** How long an engine may be away where nothing says otherwise: it is updated, or its machine is slow to start it. */
const PATIENCE_MS = 10 * 60_000
const FIRST_WAIT_MS = 100
const LAST_WAIT_MS = 5_000

/** Thrown where the one that was asked was away for too long. */
export class DockerLost extends Error {}

export const isAway = (error: unknown): error is ErrandError =>
  error instanceof ErrandError && error.code === 'unavailable'

/**
 * Asks again while what is asked is away, and as long as it takes while `isWorthIt`. Throws `DockerLost`, or what else
 * it throws.
 */
export async function retryWhileDockerAway<T>(
  ask: () => Promise<T>,
  signal: AbortSignal,
  isWorthIt: () => boolean = () => false,
): Promise<T> {
  const backoff = new Backoff({ firstMs: FIRST_WAIT_MS, maxMs: LAST_WAIT_MS })
  let until = performance.now() + PATIENCE_MS
  for (;;) {
    signal.throwIfAborted()
    try {
      return await ask()
    } catch (error) {
      if (!isAway(error)) throw error
      if (isWorthIt()) until = performance.now() + PATIENCE_MS
      if (performance.now() > until)
        throw new DockerLost(`${error.message} This has been so for ${PATIENCE_MS / 60_000} minutes.`)
    }
    await sleep(backoff.next(), undefined, { signal })
  }
}
