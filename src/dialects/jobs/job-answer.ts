import type { ErrorCode } from '../../contract/errors.ts'
import type { Reason } from '../../contract/status.ts'

/** An error's name there: `QUOTA_EXCEEDED`. */
export const jobErrorCode = (code: ErrorCode | Reason): string => code.toUpperCase()
