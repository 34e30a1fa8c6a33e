import { runCommand } from './command.ts'
import { run } from './run.ts'
import { tellError } from './tell-error.ts'

/** `errand run` alone. Answers the exit code. */
export async function main([, ...argv]: string[]): Promise<number> {
  try {
    return await runCommand('run', run, argv)
  } catch (error) {
    return tellError(error)
  }
}
