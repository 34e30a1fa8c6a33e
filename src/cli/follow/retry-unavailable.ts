import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { Backoff } from '../../platform/time.ts'

/** As long as those who follow a run wait for the hub. */
const PATIENCE_MS = 300_000

/**
 * Asks again while the hub does not answer, or does not conduct the run yet: for what a person wants of a run that is
 * followed meanwhile. Asking twice must be harmless.
 */
export async function whileAway<T>(ask: () => Promise<T>): Promise<T> {
  const backoff = new Backoff({ firstMs: 200, maxMs: 5_000 })
  for (const endMs = performance.now() + PATIENCE_MS; ; )
    try {
      return await ask()
    } catch (error) {
      const isAway = error instanceof ErrandError && error.code === 'unavailable'
      if (!isAway || performance.now() > endMs) throw error
      // The command may end meanwhile.
      await sleep(backoff.next(), undefined, { ref: false })
    }
}
