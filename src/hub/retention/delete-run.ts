import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { AccountStore } from '../store/accounts.ts'
import { withChildren } from './run-family.ts'

/**
 * Removes an ended run and the runs it has started; those that go on with its session stay. Answers their ids. Throws
 * `run_not_ended`, and `conflict` for a run that another one has started and that goes with that one, and for one by which
 * another one is known to be undone.
 */
export async function deleteRun(
  engine: Pick<EngineFace, 'get' | 'list' | 'remove'>,
  accounts: Pick<AccountStore, 'forgetKeys'>,
  run: RunRecord,
): Promise<string[]> {
  const parentId = run.parent?.run_id
  if (parentId !== undefined && (await engine.get(parentId)) !== undefined)
    throw new ErrandError('conflict', `Run ${run.run_id} belongs to run ${parentId}, which has started it.`, {
      hint: `errand runs delete ${parentId} deletes both.`,
    })
  const { rolls_back } = run
  if (rolls_back !== undefined && run.status === 'success' && (await engine.get(rolls_back)) !== undefined)
    throw new ErrandError('conflict', `Run ${rolls_back} is known to be rolled back by run ${run.run_id}.`, {
      hint: `Delete that run first: errand runs delete ${rolls_back}`,
    })
  const ids = (await withChildren(engine, run)).map(({ run_id }) => run_id)
  await engine.remove(ids)
  await accounts.forgetKeys(ids)
  return ids
}
