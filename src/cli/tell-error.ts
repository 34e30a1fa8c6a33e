import { ErrandError, messageOf } from '../contract/errors.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import { jsonText } from './print.ts'
import { linesText } from './render/terminal-text.ts'

/** Tells an error on standard error, and with `json` on standard output too; answers the exit code. */
export function tellError(error: unknown, json = false): number {
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

/** An error as the API words it, in a line of `--json`. */
export function errorLine(error: unknown): string {
  const told = error instanceof ErrandError ? error : new ErrandError('internal', messageOf(error))
  return `${jsonText({ type: 'error', ...told.toBody() })}\n`
}
