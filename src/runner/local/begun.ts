import type { AttemptEnd } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Reason } from '../../contract/status.ts'
import { attemptEnd } from '../attempts/attempt-end.ts'
import type { Cause } from '../attempts/outcome.ts'

/** An attempt that is carried out by this process. */
export interface Begun {
  stop(cause: Cause, force?: boolean): void
  end: Promise<AttemptEnd>
}

export const ended = (reason: Reason, message: string): Begun => ({
  stop: () => undefined,
  end: Promise.resolve({ type: 'ended', outcome: 'failed', reason, message }),
})

export function failed(error: unknown): Begun {
  const { message, hint } = error as ErrandError
  const reason =
    error instanceof ErrandError && error.code === 'invalid_argument' ? 'invalid_argument' : 'action_failed'
  return ended(reason, hint === undefined ? message : `${message} ${hint}`)
}

/** Begins once what it needs is there; a stop before that counts. */
export function begunLater<T>(needed: Promise<T>, begin: (what: T) => Begun): Begun {
  let stopped: Cause | undefined
  let begun: Begun | undefined
  return {
    stop: (cause, force) => {
      stopped ??= cause
      begun?.stop(cause, force)
    },
    end: needed.then(
      (what) => {
        if (stopped) return attemptEnd({ ending: { type: 'stopped' }, cause: stopped })
        begun = begin(what)
        return begun.end
      },
      (error) => failed(error).end,
    ),
  }
}
