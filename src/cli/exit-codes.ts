import { ErrandError, type ErrorCode, messageOf } from '../contract/errors.ts'
import type { Reason, RunStatus } from '../contract/status.ts'
import { diskFault } from '../stores/disk-errors.ts'
import { jsonText } from './print.ts'
import { linesText } from './render/terminal-text.ts'

/** Exit codes of all commands. They are stable, for scripts; docs/cli.md has the same table. */
export const exitCodes = {
  success: 0,
  failed: 1,
  usage: 2,
  canceled: 3,
  interrupted: 4,
  unreachable: 5,
  unauthorized: 6,
  not_found: 7,
  damaged: 8,
  internal: 70,
} as const

/** Returns the exit code of a command that waited for a run. A run that has not ended counts as interrupted. */
export function exitCodeOfRun(status: RunStatus, reason?: Reason): number {
  if (status === 'failed' && reason === 'host_unreachable') return exitCodes.unreachable
  if (status === 'failed' && reason === 'host_unauthorized') return exitCodes.unauthorized
  if (status === 'queued' || status === 'running') return exitCodes.interrupted
  return exitCodes[status]
}

const byError: Partial<Record<ErrorCode, number>> = {
  bad_request: exitCodes.usage,
  invalid_workflow: exitCodes.usage,
  invalid_playbook: exitCodes.usage,
  invalid_argument: exitCodes.usage,
  unset_variable: exitCodes.usage,
  task_invalid: exitCodes.usage,
  unavailable: exitCodes.unreachable,
  host_unreachable: exitCodes.unreachable,
  host_refused: exitCodes.unreachable,
  unauthorized: exitCodes.unauthorized,
  token_revoked: exitCodes.unauthorized,
  token_expired: exitCodes.unauthorized,
  forbidden: exitCodes.unauthorized,
  not_found: exitCodes.not_found,
  run_not_found: exitCodes.not_found,
  secret_not_found: exitCodes.not_found,
  repo_not_found: exitCodes.not_found,
  task_not_found: exitCodes.not_found,
  output_damaged: exitCodes.damaged,
  internal: exitCodes.internal,
}

/** Returns the exit code of a command that ended with an error; a code that is not listed counts as `failed`. */
export const exitCodeOfError = (code: ErrorCode): number => byError[code] ?? exitCodes.failed

/** Writes an error to stderr, and with `json` to stdout too. Returns the exit code. */
export function reportError(thrown: unknown, json = false): number {
  const error = ofMachine(thrown) ?? thrown
  if (json) process.stdout.write(errorLine(error))
  if (!(error instanceof ErrandError)) {
    process.stderr.write(
      `error: ${linesText(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
    )
    process.stderr.write('  hint: this is a bug in Errand; please report it with the lines above\n')
    return exitCodes.internal
  }
  // The text may come from a hub, a file or a program.
  process.stderr.write(`error: ${linesText(error.message)}\n`)
  if (error.hint !== undefined)
    process.stderr.write(`  hint: ${linesText(error.hint).replaceAll('\n', '\n        ')}\n`)
  return exitCodeOfError(error.code)
}

/** Returns the error for a fault of the machine that any command may meet: a missing folder, or a disk that fails. */
function ofMachine(thrown: unknown): ErrandError | undefined {
  const isGone = (thrown as NodeJS.ErrnoException | undefined)?.syscall === 'uv_cwd'
  return isGone ? folderGone() : diskFault(thrown)
}

const folderGone = () =>
  new ErrandError('invalid_argument', 'The folder that this command was started in no longer exists.', {
    hint: 'Change to an existing folder (cd) and run the command again.',
  })

/** Formats an error as a line of `--json`, in the shape that the API uses. */
export function errorLine(error: unknown): string {
  const known = error instanceof ErrandError ? error : new ErrandError('internal', messageOf(error))
  return `${jsonText({ type: 'error', ...known.toBody() })}\n`
}
