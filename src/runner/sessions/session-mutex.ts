import type { AttemptSpec } from '../../contract/attempt.ts'
import { unlessAborted } from '../../platform/races.ts'

type Holder = Pick<AttemptSpec, 'attempt_id' | 'run_id'>

interface Hold {
  by: Holder
  over: PromiseWithResolvers<void>
}

/**
 * Tracks which attempt is in which session. Two programs at once spoil a session: input to the first is lost, or both
 * call the model forever. So the next attempt waits until nothing of the one before is left.
 */
export class SessionMutex {
  readonly #holds = new Map<string, Hold>()

  /** Records that the holder is in the session already. */
  keep(session: string, by: Holder): void {
    if (!this.#holds.has(session)) this.#holds.set(session, { by, over: Promise.withResolvers() })
  }

  /** Resolves when it is in the session. `onWait` gets the run that is in it. Rejects if the signal ends the wait. */
  async acquire(
    session: string,
    by: Holder,
    signal: AbortSignal,
    onWait: (runId: string) => void,
  ): Promise<void> {
    for (;;) {
      const hold = this.#holds.get(session)
      if (!hold || hold.by.attempt_id === by.attempt_id) break
      onWait(hold.by.run_id)
      await unlessAborted(signal, hold.over.promise)
    }
    // An attempt that has ended meanwhile has left already: nobody would take it out of the session again.
    signal.throwIfAborted()
    this.keep(session, by)
  }

  /** Frees the sessions of an attempt of which nothing is left. Idempotent. */
  release({ attempt_id }: Holder): void {
    for (const [session, { by, over }] of this.#holds) {
      if (by.attempt_id !== attempt_id) continue
      this.#holds.delete(session)
      over.resolve()
    }
  }
}
