import { createHash, randomInt } from 'node:crypto'
import { attemptId, newRunId, splitAttemptId } from '../../contract/ids.ts'

const attemptPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.[1-9][0-9]{0,14}$/
const runPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/

/**
 * The attempt id for the task id that a client uses. The old clients make their own (`task-1733…`, any text);
 * the answer depends on the text alone, so that it is found again after a restart.
 */
export function attemptIdOf(taskId: string): string {
  if (attemptPattern.test(taskId)) return taskId
  if (runPattern.test(taskId)) return attemptId(taskId, 1)
  const hash = createHash('sha256').update(taskId).digest('hex').slice(0, 16)
  return attemptId(`task-${taskId.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 70)}-${hash}`, 1)
}

/** Ids for a request that may lack them. */
export function requestIds(given: { attempt_id?: string; run_id?: string }): {
  attempt_id: string
  run_id: string
} {
  if (given.attempt_id !== undefined) {
    const id = attemptIdOf(given.attempt_id)
    return { attempt_id: id, run_id: given.run_id ?? splitAttemptId(id).runId }
  }
  const run = given.run_id ?? newRunId()
  return { attempt_id: attemptId(run, randomInt(1, 2 ** 47)), run_id: run }
}
