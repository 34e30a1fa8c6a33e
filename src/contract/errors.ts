/**
 * The HTTP status of every error code that Errand shows to a person or a program. `code` is stable, so scripts may rely
 * on it; `message` says what happened and to what; `hint` says what to do.
 */
export const errorStatus = {
  bad_request: 400,
  invalid_workflow: 400,
  invalid_playbook: 400,
  invalid_argument: 400,
  unset_variable: 400,
  task_invalid: 400,
  unauthorized: 401,
  token_revoked: 401,
  token_expired: 401,
  forbidden: 403,
  not_found: 404,
  run_not_found: 404,
  secret_not_found: 404,
  task_not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  run_exists: 409,
  run_ended: 409,
  quota_exceeded: 409,
  bot_exists: 409,
  build_failed: 422,
  pull_refused: 422,
  source_refused: 422,
  run_not_ended: 409,
  run_set_aside: 409,
  task_exists: 409,
  task_running: 409,
  approval_not_pending: 409,
  no_input: 409,
  idempotency_mismatch: 409,
  body_too_large: 413,
  frame_too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  rate_limited: 429,
  run_failed: 502,
  protocol_mismatch: 426,
  internal: 500,
  output_damaged: 500,
  store_failed: 507,
  disk_full: 507,
  unavailable: 503,
  no_slot: 503,
  host_unreachable: 502,
  host_refused: 502,
  repo_not_found: 404,
  repo_auth: 422,
  repo_archived: 422,
  push_denied: 422,
  protected_branch: 422,
  pull_request: 422,
  forge_denied: 422,
  forge_busy: 503,
  forge_away: 502,
  service_answer: 502,
  address_in_use: 500,
  data_folder_locked: 500,
} as const

export type ErrorCode = keyof typeof errorStatus

export interface ErrorBody {
  error: { code: ErrorCode; message: string; hint?: string; details?: unknown }
}

export class ErrandError extends Error {
  readonly code: ErrorCode
  readonly hint?: string
  readonly details?: unknown

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; details?: unknown; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = 'ErrandError'
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }

  /** HTTP status for this code. */
  get status(): number {
    return errorStatus[this.code]
  }

  /** Returns the one wire format of an error. */
  toBody(): ErrorBody {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.hint === undefined ? {} : { hint: this.hint }),
        ...(this.details === undefined ? {} : { details: this.details }),
      },
    }
  }
}

/** Returns the message of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Reports whether it is an `ErrandError`, even one of another bundle of Errand's with classes of its own. */
export const isErrandError = (error: unknown): error is ErrandError =>
  error instanceof Error && error.name === 'ErrandError'

/** Returns the message and, if it is known, what to do about it: two sentences. */
export const messageWithHint = (error: unknown): string =>
  isErrandError(error) && error.hint !== undefined
    ? `${asSentence(error.message)} ${error.hint}`
    : messageOf(error)

const asSentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)
