import type { SQLInputValue } from 'node:sqlite'
import { RunStatus } from '../../../contract/status.ts'
import type { RunPage, RunQuery } from '../../../engine/ports.ts'
import { cutPage } from '../run-filter.ts'
import { type CheckedQuery, checkQuery, compareKeys } from '../run-query.ts'
import { type Row, rowRecord } from './run-rows.ts'
import type { Session } from './session.ts'

/** Lists of runs, newest first, each read in the order of an index. */
export class RunLists {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  list(query: RunQuery): RunPage {
    const checked = checkQuery(query)
    const rows = statusesToRead(checked).flatMap((status) => this.#read(checked, status))
    const found = rows.map((row) => ({ created_at: String(row.created_at), run_id: String(row.run_id), row }))
    const { runs, ...rest } = cutPage(found.sort(compareKeys), query.limit)
    return { runs: runs.map(({ row }) => rowRecord({ ...row, ...this.#spec(row) })), ...rest }
  }

  #read(query: CheckedQuery, status: RunStatus | undefined): Row[] {
    const where: string[] = []
    const values: SQLInputValue[] = []
    const filter = (condition: string, ...given: (string | undefined)[]) => {
      if (given.some((value) => value === undefined)) return
      where.push(condition)
      values.push(...(given as string[]))
    }
    const special = query.blueprint === 'workflow' ? undefined : query.blueprint
    filter('status = ?', status)
    filter('workflow_name = ?', query.workflow_name)
    filter('owner = ?', query.owner)
    // The plus keeps the tenant's index out of use where another is narrower.
    const narrower = query.owner ?? query.workflow_name ?? ofOneRun(query) ?? special
    filter(narrower === undefined ? 'tenant = ?' : '+tenant = ?', query.tenant)
    filter('parent_run_id = ?', query.parent_run_id)
    filter('continues = ?', query.continues)
    filter('rolls_back = ?', query.rolls_back)
    filter('blueprint = ?', query.blueprint)
    // As the index says it, or it is not used.
    if (special !== undefined) where.push("blueprint <> 'workflow'")
    filter('created_at > ?', query.created_after)
    filter('created_at < ?', query.created_before)
    filter('(created_at, run_id) < (?, ?)', query.after?.created_at, query.after?.run_id)
    const conditions = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`
    const sql = `SELECT * FROM runs${conditions} ORDER BY created_at DESC, run_id DESC LIMIT ?`
    return this.#session.all(sql, ...values, query.limit + 1)
  }

  #spec(row: Row): Row | undefined {
    return this.#session.get('SELECT spec FROM run_specs WHERE n = ?', row.n ?? null)
  }
}

/**
 * One query for each status, joined here: an index that begins with the status gives the order only for one. The
 * indexes by owner, workflow and tenant do so; the others serve all statuses in one query.
 */
function statusesToRead(query: CheckedQuery): readonly (RunStatus | undefined)[] {
  if (query.statuses !== undefined) return [...new Set(query.statuses)]
  const byStatusToo = query.owner ?? query.workflow_name ?? query.tenant ?? query.blueprint
  return byStatusToo !== undefined && ofOneRun(query) === undefined ? RunStatus.options : [undefined]
}

/** The run whose children, continuations or rollbacks are asked for. */
const ofOneRun = ({ parent_run_id, continues, rolls_back }: CheckedQuery): string | undefined =>
  parent_run_id ?? continues ?? rolls_back
