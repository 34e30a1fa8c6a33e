import { type ErrandError, messageWithHint } from '../../contract/errors.ts'
import type { Ending } from '../attempts/outcome.ts'

/** The program cannot be held to the permissions of the step. */
export class NotAllowed extends Error {}

/** The end of an attempt that cannot be carried out; the runner is named where it is one of a fleet. */
export function refusal(error: unknown, runnerId: string | undefined): Ending {
  const { code } = error as ErrandError
  const reason =
    error instanceof NotAllowed
      ? 'permission'
      : code === 'invalid_argument'
        ? code
        : ('start_failed' as const)
  const where = runnerId === undefined ? '' : `On runner "${runnerId}": `
  return { type: 'action_failed', reason, message: where + messageWithHint(error) }
}
