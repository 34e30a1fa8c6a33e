import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { Backoff } from '../../platform/time.ts'

/** Default limit in ms for an engine's absence, such as an update or a slow start. */
const RETRY_MS = 10 * 60_000
const FIRST_WAIT_MS = 100
const LAST_WAIT_MS = 5_000

/** Thrown if the other side was away for too long. */
export class DockerLost extends Error {}

export const isAway = (error: unknown): error is ErrandError =>
  error instanceof ErrandError && error.code === 'unavailable'

/**
 * Repeats a call while the other side is away, without limit while `isWorthIt`. Throws `DockerLost`, or the call's
 * other errors.
 */
export async function retryWhileDockerAway<T>(
  ask: () => Promise<T>,
  signal: AbortSignal,
  isWorthIt: () => boolean = () => false,
): Promise<T> {
  const backoff = new Backoff({ firstMs: FIRST_WAIT_MS, maxMs: LAST_WAIT_MS })
  let until = performance.now() + RETRY_MS
  for (;;) {
    signal.throwIfAborted()
    try {
      return await ask()
    } catch (error) {
      if (!isAway(error)) throw error
      if (isWorthIt()) until = performance.now() + RETRY_MS
      if (performance.now() > until)
        throw new DockerLost(`${error.message} This has lasted for ${RETRY_MS / 60_000} minutes.`)
    }
    await sleep(backoff.next(), undefined, { signal })
  }
}
