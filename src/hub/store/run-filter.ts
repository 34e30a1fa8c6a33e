import type { RunRecord } from '../../contract/run.ts'
import { type CheckedQuery, compareKeys, type ListKey, writeCursor } from './run-query.ts'

/** The fields that a list is filtered by. */
export type Listed = Pick<
  RunRecord,
  | 'run_id'
  | 'created_at'
  | 'status'
  | 'workflow_name'
  | 'owner'
  | 'tenant'
  | 'blueprint'
  | 'parent'
  | 'continues'
  | 'rolls_back'
>

export function matches(query: CheckedQuery, run: Listed): boolean {
  if (query.statuses !== undefined && !query.statuses.includes(run.status)) return false
  if (query.workflow_name !== undefined && query.workflow_name !== run.workflow_name) return false
  if (query.owner !== undefined && query.owner !== run.owner) return false
  if (query.tenant !== undefined && query.tenant !== run.tenant) return false
  if (query.blueprint !== undefined && query.blueprint !== run.blueprint) return false
  if (query.parent_run_id !== undefined && query.parent_run_id !== run.parent?.run_id) return false
  if (query.continues !== undefined && query.continues !== run.continues) return false
  if (query.rolls_back !== undefined && query.rolls_back !== run.rolls_back) return false
  if (query.created_after !== undefined && run.created_at <= query.created_after) return false
  if (query.created_before !== undefined && run.created_at >= query.created_before) return false
  return query.after === undefined || compareKeys(run, query.after) > 0
}

/** The page of what was found, sorted, where `found` holds one more than the limit if there are more. */
export function cutPage<T extends ListKey>(found: T[], limit: number): { runs: T[]; next_cursor?: string } {
  const runs = found.slice(0, limit)
  const last = runs.at(-1)
  return found.length > limit && last !== undefined ? { runs, next_cursor: writeCursor(last) } : { runs }
}
