import { constants } from 'node:os'
import type { AttemptEnd } from '../../contract/attempt.ts'
import { Reason } from '../../contract/status.ts'
import { MASK } from '../masking/mask-stream.ts'
import type { Masker } from '../masking/masker.ts'
import { ExportedVars, type ExportScanner, MAX_EXPORT_BYTES } from './exported-variables.ts'
import type { OutputValues } from './output-values.ts'

/** Says why Errand itself ended an attempt. The first cause wins, even over what the process does afterwards. */
export type Cause =
  | { type: 'canceled'; reason: string }
  | { type: 'timeout'; after_ms: number }
  | { type: 'failed'; reason: Reason; message: string }
  | { type: 'closed' }

/** Describes how the process or action behind an attempt ended. */
export type Ending =
  /** `reason` and `message` are set if more is known than the exit code. */
  | { type: 'exited'; code: number; reason?: Reason; message?: string }
  | { type: 'signaled'; signal: string }
  | { type: 'done' }
  /**
   * `ran`: it did something, and has put out its result. `signal`: the signal that ended its process. `at`: what it
   * waited for when it was stopped.
   */
  | {
      type: 'action_failed'
      reason: Reason
      message: string
      ran?: boolean
      signal?: FatalSignal
      at?: string
    }
  | { type: 'start_failed'; message: string }
  | { type: 'lost'; why: string }
  /** Ended by Errand; no exit code is available. */
  | { type: 'stopped' }

/** Names the signals by which programs are ended from outside. */
export type FatalSignal = 'SIGTERM' | 'SIGKILL'

/** Returns the signal that ended a process, as the process or a shell in its place reports it. */
export const fatalSignal = ({ code, signal }: { code?: number; signal?: string }): FatalSignal | undefined =>
  (['SIGTERM', 'SIGKILL'] as const).find((name) => signal === name || code === 128 + constants.signals[name])

export function signalOf(ending: Ending): FatalSignal | undefined {
  if (ending.type === 'action_failed') return ending.signal
  return ending.type === 'exited' || ending.type === 'signaled' ? fatalSignal(ending) : undefined
}

export type Verdict = Pick<AttemptEnd, 'outcome' | 'reason' | 'message' | 'exit_code' | 'signal'>

function verdictOf(ending: Ending, cause?: Cause): Verdict {
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
        message: `Stopped after ${cause.after_ms / 1000} s.${ending.type === 'action_failed' && ending.at !== undefined ? ` ${ending.at}` : ''}`,
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
  // A shell reports 128 + n for a command that signal n killed.
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

interface Endings {
  ending: Ending
  cause?: Cause
  scanner?: ExportScanner
  values?: OutputValues
  /** Variables that an inline action exported itself. */
  exports?: Record<string, string>
  /** Hides the secrets in its texts. `scanner` and `values` have seen only masked output. */
  masker?: Masker
  /** Set if any of that output replaces a secret. */
  hidden?: boolean
}

/** Builds the end of an attempt as it is reported. The callers that know lengths, files and duration add them. */
export function attemptEnd({ masker, hidden, ...endings }: Endings): AttemptEnd {
  const end = unmaskedEnd(endings)
  return masker ? maskedEnd(end, masker, hidden === true) : end
}

function unmaskedEnd({
  ending,
  cause,
  scanner,
  values,
  exports,
}: Omit<Endings, 'masker' | 'hidden'>): AttemptEnd {
  const verdict = verdictOf(ending, cause)
  const end: AttemptEnd = { type: 'ended', ...verdict }
  const endedByItself = cause === undefined && ['exited', 'signaled', 'done'].includes(ending.type)
  if (!endedByItself || (scanner ?? values ?? exports) === undefined) return end
  scanner?.end()
  const taken = values?.evaluate(verdict.exit_code)
  const all = scanner?.found ?? new ExportedVars()
  all.setAll(Object.entries(exports ?? {}))
  all.setAll(taken?.values ?? [])
  if (all.tooLarge)
    return {
      ...end,
      outcome: 'failed',
      reason: 'exports_too_large',
      message: `The exported variables are larger than ${MAX_EXPORT_BYTES} bytes in total. Write large values to a file.`,
    }
  const texts = [end.message, scanner?.warning, ...(taken?.unset ?? [])]
  const message = texts.filter((text) => text !== undefined).join(' ')
  return { ...end, exports: all.toRecord(), message: message === '' ? undefined : message }
}

function maskedEnd(end: AttemptEnd, masker: Masker, hidden: boolean): AttemptEnd {
  const message = end.message && masker.maskText(end.message)
  if (end.exports === undefined) return { ...end, message }
  const exports: Record<string, string> = {}
  const without: string[] = []
  for (const [name, value] of Object.entries(end.exports)) {
    exports[name] = masker.maskText(value)
    if (exports[name] !== value || (hidden && value.includes(MASK))) without.push(name)
  }
  if (without.length === 0) return { ...end, exports, message }
  const warning = `A secret cannot be exported: it was replaced by ${MASK} in ${without.join(', ')}.`
  return { ...end, exports, message: message ? `${message} ${warning}` : warning }
}
