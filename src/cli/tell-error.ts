import { ErrandError } from '../contract/errors.ts'
import { exitCodeOfError, exitCodes } from './exit-codes.ts'

/** Tells an error on standard error; answers the exit code. */
export function tellError(error: unknown): number {
  if (!(error instanceof ErrandError)) {
    process.stderr.write(
      `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    process.stderr.write('  hint: this is a mistake in Errand; please report it with the lines above\n')
    return exitCodes.internal
  }
  process.stderr.write(`error: ${error.message}\n`)
  if (error.hint !== undefined) process.stderr.write(`  hint: ${error.hint}\n`)
  return exitCodeOfError(error.code)
}
