import { config } from '../../contract/mini-zod.ts'
import { runCommand } from '../command.ts'
import { run } from '../commands/run/run.ts'
import { reportError } from '../exit-codes.ts'

/** Runs `errand run` alone. Resolves to the exit code. */
export async function main([, ...argv]: string[]): Promise<number> {
  // A file is checked only once, so compiling a checker for each schema would take longer.
  config({ jitless: true })
  try {
    return await runCommand('run', run, argv)
  } catch (error) {
    return reportError(error, argv.includes('--json'))
  }
}
