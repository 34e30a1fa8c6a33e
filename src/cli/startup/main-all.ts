import { commands } from '../commands.ts'
import { dispatch } from '../entry.ts'

/** All of the command line. Answers the exit code. */
export const main = (argv: string[]): Promise<number> => dispatch(argv, commands)
