import { ErrandError } from '../contract/errors.ts'

/** What is refused because nothing is committed any more. */
export const engineClosed = (): ErrandError =>
  new ErrandError('unavailable', 'The engine is closed.', { hint: 'Try again when it is up.' })

export const runExists = (runId: string): ErrandError =>
  new ErrandError('run_exists', `There is a run ${runId} already.`, {
    hint: 'Choose another run id, or leave it out.',
  })

export const runEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_ended', `Run ${runId} has ended (${status}).`, {
    hint: 'Only a run that is queued or running can be changed.',
  })

export const runNotEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_not_ended', `Run ${runId} is ${status}; it has to end first.`, {
    hint: `errand runs cancel ${runId} ends it.`,
  })
