import { ErrandError, type ErrorCode, messageOf } from '../contract/errors.ts'
import type { Reason, RunStatus } from '../contract/status.ts'
import { diskFault } from '../stores/disk-errors.ts'
import { jsonText } from './print.ts'
import { linesText } from './render/terminal-text.ts'

/** Stable, for scripts; the table stands in docs/cli.md. */
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

/** Exit code of a command that waited for a run. A run that has not ended counts as interrupted. */
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

/** Exit code of a command that ended with an error; what is not listed is a failure like any other. */
export const exitCodeOfError = (code: ErrorCode): number => byError[code] ?? exitCodes.failed

/** Tells an error on standard error, and with `json` on standard output too; answers the exit code. */
export function tellError(thrown: unknown, json = false): number {
  const error = ofMachine(thrown) ?? thrown
  if (json) process.stdout.write(errorLine(error))
  if (!(error instanceof ErrandError)) {
    process.stderr.write(
      `error: ${linesText(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
    )
    process.stderr.write('  hint: this is a mistake in Errand; please report it with the lines above\n')
    return exitCodes.internal
  }
  // A hub, a file or a program may have worded it.
  process.stderr.write(`error: ${linesText(error.message)}\n`)
  if (error.hint !== undefined)
    process.stderr.write(`  hint: ${linesText(error.hint).replaceAll('\n', '\n        ')}\n`)
  return exitCodeOfError(error.code)
}

/** A fault of the machine, which any command may meet: where it was started, and in whatever it reads or writes. */
function ofMachine(thrown: unknown): ErrandError | undefined {
  const isGone = (thrown as NodeJS.ErrnoException | undefined)?.syscall === 'uv_cwd'
  return isGone ? folderGone() : diskFault(thrown)
}

const folderGone = () =>
  new ErrandError('invalid_argument', 'The folder that this command was started in is gone.', {
    hint: 'Change into one that is there (cd), and start it again.',
  })

/** An error as the API words it, in a line of `--json`. */
export function errorLine(error: unknown): string {
  const told = error instanceof ErrandError ? error : new ErrandError('internal', messageOf(error))
  return `${jsonText({ type: 'error', ...told.toBody() })}\n`
}
