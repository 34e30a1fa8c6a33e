import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'

/** Throws `conflict` unless the events follow `lastSeq` with no hole. */
export function checkOrder(runId: string, lastSeq: number, events: readonly RunEvent[]): void {
  let expected = lastSeq + 1
  for (const event of events) {
    if (event.seq !== expected) throw outOfOrder(runId, expected, event.seq)
    expected++
  }
}

export const outOfOrder = (runId: string, expected: number, found: number): ErrandError =>
  new ErrandError('conflict', `Run ${runId} expects event ${expected} next, and was given ${found}.`, {
    hint: 'Something else has written to this run. Read it again before writing.',
  })

export const runExists = (runId: string): ErrandError =>
  new ErrandError('run_exists', `There is a run ${runId} already.`, {
    hint: 'Choose another run id, or leave it out.',
  })

export const runNotFound = (runId: string): ErrandError =>
  new ErrandError('run_not_found', `There is no run ${runId}.`, { hint: 'List the runs to see their ids.' })
