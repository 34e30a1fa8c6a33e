import { dispatch } from '../entry.ts'

const up = {
  summary: '',
  load: async () => (await import('../commands/hub/up.ts')).up,
}

/** `errand up` alone: a hub stays, and so does the text of its program (2.7 MB less of 83). Answers the exit code. */
export const main = (argv: string[]): Promise<number> => dispatch(argv, { up })
