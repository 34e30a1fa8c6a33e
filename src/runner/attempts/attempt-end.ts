import type { AttemptEnd } from '../../contract/attempt.ts'
import type { ExportScanner } from './export-scanner.ts'
import { ExportedVars, MAX_EXPORT_BYTES } from './exported-vars.ts'
import { type Cause, type Ending, verdictOf } from './outcome.ts'
import type { OutputValues } from './output-values.ts'

export interface Endings {
  ending: Ending
  cause?: Cause
  scanner?: ExportScanner
  values?: OutputValues
  /** What an inline action exported itself. */
  exports?: Record<string, string>
}

/** The end of an attempt as it is reported; lengths, files and duration are added by who knows them. */
export function attemptEnd({ ending, cause, scanner, values, exports }: Endings): AttemptEnd {
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
      message: `The exported variables are larger than ${MAX_EXPORT_BYTES} bytes in all. Write what is large to a file.`,
    }
  const message = [end.message, ...(taken?.unset ?? [])].filter((text) => text !== undefined).join(' ')
  return { ...end, exports: all.toRecord(), message: message === '' ? undefined : message }
}
