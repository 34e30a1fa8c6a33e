import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { Attempts } from '../ports.ts'

/** Answers a hub's queries about the folder of an attempt that runs here. Never rejects. */
export async function answerOf(
  attempts: Pick<Attempts, 'get'>,
  ask: WorkspaceQuery,
  send: (text: string) => Promise<void>,
): Promise<RunnerAnswer> {
  try {
    const attempt = attempts.get(ask.attempt_id)
    if (attempt?.viewFolder === undefined)
      throw new ErrandError('not_found', `Attempt ${ask.attempt_id} is no longer here.`, {
        hint: 'The folder of an agent is shown while its session is open. Its change is saved at the end.',
      })
    return await attempt.viewFolder(ask, send)
  } catch (error) {
    const { code = 'internal', hint } = error as Partial<ErrandError>
    return { exists: false, error: { code, message: messageOf(error), hint } }
  }
}
