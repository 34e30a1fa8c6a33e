import { constants } from 'node:os'
import type { AttemptEnd } from '../../contract/attempt.ts'
import { Reason } from '../../contract/status.ts'

/** Why Errand itself ended an attempt. The first cause wins, also over what the process then does. */
export type Cause =
  | { type: 'canceled'; reason: string }
  | { type: 'timeout'; after_ms: number }
  | { type: 'failed'; reason: Reason; message: string }
  | { type: 'closed' }

/** How what carried out the attempt came to its end. */
export type Ending =
  /** `reason` and `message` where more is known of it than its code. */
  | { type: 'exited'; code: number; reason?: Reason; message?: string }
  | { type: 'signaled'; signal: string }
  | { type: 'done' }
  /** `ran`: it did something, and has put out what it did. */
  | { type: 'action_failed'; reason: Reason; message: string; ran?: boolean }
  | { type: 'start_failed'; message: string }
  | { type: 'lost'; why: string }
  /** Ended by Errand, with no exit code to be had. */
  | { type: 'stopped' }

export type Verdict = Pick<AttemptEnd, 'outcome' | 'reason' | 'message' | 'exit_code' | 'signal'>

export function verdictOf(ending: Ending, cause?: Cause): Verdict {
  const own = ownVerdict(ending)
  if (cause === undefined) return own
  const process = { exit_code: own.exit_code, signal: own.signal }
  switch (cause.type) {
    case 'canceled': {
      const reason = Reason.safeParse(cause.reason)
      return { ...process, outcome: 'canceled', reason: reason.success ? reason.data : 'canceled' }
    }
    case 'timeout':
      return {
        ...process,
        outcome: 'failed',
        reason: 'timeout',
        message: `Stopped after ${cause.after_ms / 1000} s.`,
      }
    case 'failed':
      return { ...process, outcome: 'failed', reason: cause.reason, message: cause.message }
    case 'closed':
      return { ...process, outcome: 'interrupted', reason: 'interrupted', message: 'Errand was closed.' }
  }
}

function ownVerdict(ending: Ending): Verdict {
  switch (ending.type) {
    case 'done':
      return { outcome: 'success' }
    case 'exited': {
      const verdict = exited(ending.code)
      const { reason = verdict.reason, message = verdict.message } = ending
      return { ...verdict, reason, message }
    }
    case 'signaled':
      return signaled(ending.signal, 128 + (constants.signals[ending.signal as NodeJS.Signals] ?? 0))
    case 'start_failed':
      return { outcome: 'failed', reason: 'start_failed', message: ending.message }
    case 'action_failed':
      return { outcome: 'failed', reason: ending.reason, message: ending.message }
    case 'lost':
      return { outcome: 'interrupted', reason: 'lost', message: ending.why }
    case 'stopped':
      return { outcome: 'interrupted', reason: 'interrupted' }
  }
}

function exited(code: number): Verdict {
  if (code === 0) return { outcome: 'success', exit_code: 0 }
  // A shell says 128 + n of a command that signal n killed.
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
  if (signal !== undefined) return signaled(signal, code)
  return {
    outcome: 'failed',
    reason: 'exit_code',
    message: `The command ended with exit code ${code}.`,
    exit_code: code,
  }
}

const signaled = (signal: string, code: number): Verdict => ({
  outcome: 'failed',
  reason: 'signal',
  message: `The command was killed by ${signal}.`,
  exit_code: code,
  signal,
})
