import { ErrandError } from '../contract/errors.ts'
import type { RunRecord } from '../contract/run.ts'
import { isFinalRun } from '../contract/status.ts'

/** The refusal of all that would be committed after the engine was closed. */
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

/** One rollback of a run at a time, and none once it is undone. */
export const alreadyRolledBack = (runId: string, by: Pick<RunRecord, 'run_id' | 'status'>): ErrandError =>
  isFinalRun(by.status)
    ? new ErrandError('conflict', `Run ${runId} was rolled back already, by run ${by.run_id}.`, {
        hint: `errand runs show ${by.run_id} shows what was undone.`,
      })
    : new ErrandError('conflict', `Run ${runId} is being rolled back, by run ${by.run_id}.`, {
        hint: `errand runs logs ${by.run_id} --follow follows it.`,
      })

export const runNotEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_not_ended', `Run ${runId} is ${status}; it has to end first.`, {
    hint: `errand runs cancel ${runId} ends it.`,
  })
