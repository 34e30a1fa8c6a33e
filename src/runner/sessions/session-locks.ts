import type { AttemptSpec } from '../../contract/attempt.ts'
import { unlessAborted } from '../../platform/races.ts'

type Holder = Pick<AttemptSpec, 'attempt_id' | 'run_id'>

interface Hold {
  by: Holder
  over: PromiseWithResolvers<void>
}

/**
 * Which attempt is in which session. Two programs at once spoil one: what the first was told is lost, or both ask the
 * model for ever. So the next waits until nothing is left of the one before.
 */
export class SessionLocks {
  readonly #holds = new Map<string, Hold>()

  /** The holder is in the session already. */
  keep(session: string, by: Holder): void {
    if (!this.#holds.has(session)) this.#holds.set(session, { by, over: Promise.withResolvers() })
  }

  /** Resolves when it is in the session. `onWait`: that run is. Rejects where the signal ends the wait. */
  async take(
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
    // What has ended meanwhile has left already: nobody would take it out of the session again.
    signal.throwIfAborted()
    this.keep(session, by)
  }

  /** Nothing of it is left. May be called twice. */
  leave({ attempt_id }: Holder): void {
    for (const [session, { by, over }] of this.#holds) {
      if (by.attempt_id !== attempt_id) continue
      this.#holds.delete(session)
      over.resolve()
    }
  }
}
