import { dispatch } from '../entry.ts'

const runner = {
  summary: '',
  load: async () => (await import('../commands/runner/runner.ts')).runner,
}

/** `errand runner` alone: it stays, and so does the text of its program. Answers the exit code. */
export const main = (argv: string[]): Promise<number> => dispatch(argv, { runner })
