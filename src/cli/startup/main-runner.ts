import { dispatch } from '../entry.ts'

const runner = {
  summary: '',
  load: async () => (await import('../commands/runner/runner.ts')).runner,
}

/** Runs `errand runner` alone: it runs long, and its code stays in memory. Resolves to the exit code. */
export const main = (argv: string[]): Promise<number> => dispatch(argv, { runner })
