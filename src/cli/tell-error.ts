import { ErrandError } from '../contract/errors.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'
import { linesText } from './render/terminal-text.ts'

/** Tells an error on standard error; answers the exit code. */
export function tellError(error: unknown): number {
  if (!(error instanceof ErrandError)) {
    process.stderr.write(
      `error: ${linesText(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
    )
    process.stderr.write('  hint: this is a mistake in Errand; please report it with the lines above\n')
    return exitCodes.internal
  }
  // A hub, a file or a program may have worded it.
  process.stderr.write(`error: ${linesText(error.message)}\n`)
  if (error.hint !== undefined) process.stderr.write(`  hint: ${linesText(error.hint)}\n`)
  return exitCodeOfError(error.code)
}
