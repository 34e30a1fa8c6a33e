import type { AttemptEnd } from '../../contract/attempt.ts'
import { MASK } from '../masking/mask-stream.ts'
import type { Masker } from '../masking/masker.ts'
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
  /** Hides the secrets in its texts. `scanner` and `values` have seen nothing but masked output. */
  masker?: Masker
  /** Something in that output stands for a secret. */
  hidden?: boolean
}

/** The end of an attempt as it is reported; lengths, files and duration are added by who knows them. */
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
      message: `The exported variables are larger than ${MAX_EXPORT_BYTES} bytes in all. Write what is large to a file.`,
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
  const warning = `A secret cannot be exported: it is ${MASK} in ${without.join(', ')}.`
  return { ...end, exports, message: message ? `${message} ${warning}` : warning }
}
