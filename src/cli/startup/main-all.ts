import { commands } from '../commands.ts'
import { dispatch } from '../entry.ts'

/** Runs the whole command line. Resolves to the exit code. */
export const main = (argv: string[]): Promise<number> => dispatch(argv, commands)
