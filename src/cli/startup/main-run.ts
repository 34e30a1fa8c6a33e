import { config } from '../../contract/mini-zod.ts'
import { runCommand } from '../command.ts'
import { run } from '../commands/run/run.ts'
import { tellError } from '../exit-codes.ts'

/** `errand run` alone. Answers the exit code. */
export async function main([, ...argv]: string[]): Promise<number> {
  // A file is checked once: to compile a checker for each schema first takes longer.
  config({ jitless: true })
  try {
    return await runCommand('run', run, argv)
  } catch (error) {
    return tellError(error, argv.includes('--json'))
  }
}
