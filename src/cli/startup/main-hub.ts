import { dispatch } from '../entry.ts'

const up = {
  summary: '',
  load: async () => (await import('../commands/hub/up.ts')).up,
}

/** Runs `errand up` alone: a hub runs long, with its code in memory (2.7 MB less of 83). Resolves to the exit code. */
export const main = (argv: string[]): Promise<number> => dispatch(argv, { up })
