import { ErrandError } from '../../contract/errors.ts'
import type { RunListRow, RunRecord, RunSort } from '../../contract/run.ts'
import { isFinalRun, RunStatus } from '../../contract/status.ts'
import { MOST_COUNTED, MOST_INPUT, type RunCounts, type RunQuery } from '../../engine/ports.ts'

/** A run's place in a list: by its sort key, then by id, the newest first. */
interface ListKey {
  key: string | number
  run_id: string
}

/** A query with its times in one notation and its cursor parsed. */
export interface CheckedQuery extends Omit<RunQuery, 'cursor'> {
  /** Only runs that come after this one in the list. */
  after?: ListKey
}

/** Checks a query. Throws `bad_request`. */
export function checkQuery(query: RunQuery): CheckedQuery {
  const { cursor, ...rest } = query
  if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > 500)
    throw new ErrandError('bad_request', `${query.limit} is not a valid limit for a list of runs.`, {
      hint: 'Request 1 to 500 runs, and the rest with the cursor.',
    })
  return {
    ...rest,
    created_after: checkTime('created_after', query.created_after),
    created_before: checkTime('created_before', query.created_before),
    ...(cursor === undefined ? {} : { after: readCursor(cursor, rest.sort) }),
  }
}

function checkTime(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  const time = new Date(value)
  if (Number.isNaN(time.getTime()))
    throw new ErrandError('bad_request', `${name} is not a valid time: ${value}`, {
      hint: 'Write it as 2025-01-15T10:00:00Z.',
    })
  return time.toISOString()
}

const ACTIVE_KEY = /^([01]) (.+)$/

const writeCursor = ({ key, run_id }: ListKey, sort: RunSort | undefined): string =>
  Buffer.from(JSON.stringify([key, run_id, ...(sort === undefined ? [] : [sort])])).toString('base64url')

function readCursor(cursor: string, sort: RunSort | undefined): ListKey {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const [key, run_id, of] = Array.isArray(parts) ? (parts as unknown[]) : []
    const isKey = sort === 'active' ? ACTIVE_KEY.test(String(key)) : true
    if (
      typeof run_id === 'string' &&
      of === sort &&
      isKey &&
      typeof key === (isByNumber(sort) ? 'number' : 'string')
    )
      return { key: key as string | number, run_id }
  } catch {
    // Not a valid cursor: continues below.
  }
  throw new ErrandError('bad_request', `This is not a cursor of this list of runs: ${cursor}`, {
    hint: 'Send next_cursor of the previous page, unchanged and with the same sort, or no cursor.',
  })
}

const isByNumber = (sort: RunSort | undefined): boolean => sort === 'duration' || sort === '-duration'

/** Reports whether the smaller key comes first. */
export const isRising = (sort: RunSort | undefined): boolean =>
  sort === 'name' || (sort !== '-name' && sort?.startsWith('-') === true)

/** The end of what has not ended yet, which sorts after all others. */
export const NOT_ENDED = '9999'

/** Returns the key by which a run is sorted. */
export function sortKey(
  run: Pick<
    RunRecord,
    'status' | 'created_at' | 'started_at' | 'finished_at' | 'workflow_name' | 'waited_ms'
  >,
  sort: RunSort | undefined,
): string | number {
  const { status, created_at, started_at, finished_at, workflow_name } = run
  if (sort === undefined) return created_at
  if (sort === 'active') return activeKey(!isFinalRun(status), created_at)
  if (sort.endsWith('started')) return started_at ?? created_at
  if (sort.endsWith('finished')) return finished_at ?? NOT_ENDED
  if (sort.endsWith('name')) return asciiLower(workflow_name)
  if (started_at === undefined || finished_at === undefined) return -1
  const waited = run.waited_ms ?? Date.parse(started_at) - Date.parse(created_at)
  return Date.parse(finished_at) - Date.parse(created_at) - waited
}

/** Returns the key for a list that starts with open runs. */
export const activeKey = (isOpen: boolean, createdAt: string): string => `${isOpen ? 1 : 0} ${createdAt}`

/**
 * Splits a query in the order `active` into two by creation: open runs, and ended ones. A cursor among ended runs
 * leaves out the open ones: a run that ends between two pages may be in both, and none is omitted.
 */
export function activeParts(query: CheckedQuery): { isOpen: boolean; query: CheckedQuery }[] {
  const { sort: _, after, statuses = RunStatus.options, ...rest } = query
  const [, place, created] = ACTIVE_KEY.exec(String(after?.key ?? '')) ?? []
  return [true, false].flatMap((isOpen) => {
    const some = statuses.filter((status) => isFinalRun(status) !== isOpen)
    if (some.length === 0 || (isOpen && place === '0')) return []
    const isHere = place === (isOpen ? '1' : '0')
    return [
      {
        isOpen,
        query: {
          ...rest,
          statuses: some,
          ...(isHere && { after: { key: created!, run_id: after!.run_id } }),
        },
      },
    ]
  })
}

/** Returns a negative number when `a` comes first in a list of this order. */
export const compareKeys =
  (sort?: RunSort) =>
  (a: ListKey, b: ListKey): number => {
    if (a.key !== b.key) return a.key > b.key !== isRising(sort) ? -1 : 1
    if (a.run_id === b.run_id) return 0
    return a.run_id > b.run_id ? -1 : 1
  }

/** Compares runs in the order in which they are resumed. */
export const oldestFirst = (a: Pick<RunRecord, 'created_at' | 'run_id'>, b: typeof a): number =>
  compareKeys()({ key: b.created_at, run_id: b.run_id }, { key: a.created_at, run_id: a.run_id })

/** Returns the page of these runs that a query asks for. */
export function pageOf<T extends Listed>(
  query: CheckedQuery,
  runs: readonly T[],
): { runs: T[]; next_cursor?: string } {
  const keyed = found(query, runs).map((run) => ({ key: sortKey(run, query.sort), run_id: run.run_id, run }))
  const page = cutPage(keyed.sort(compareKeys(query.sort)), query)
  return { ...page, runs: page.runs.map(({ run }) => run) }
}

/** The fields by which a list is filtered. */
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
  | 'first_run'
  | 'try'
> &
  Partial<
    Pick<
      RunRecord,
      'vars' | 'labels' | 'list_row' | 'started_at' | 'finished_at' | 'waited_ms' | 'shares' | 'repository'
    >
  >

function matches(query: CheckedQuery, run: Listed): boolean {
  if (query.statuses !== undefined && !query.statuses.includes(run.status)) return false
  if (query.workflow_name !== undefined && query.workflow_name !== run.workflow_name) return false
  if (query.owner !== undefined && query.owner !== run.owner) return false
  if (query.tenant !== undefined && query.tenant !== run.tenant) return false
  if (query.blueprint !== undefined && query.blueprint !== run.blueprint) return false
  if (query.parent_run_id !== undefined && query.parent_run_id !== run.parent?.run_id) return false
  if (query.continues !== undefined && query.continues !== run.continues) return false
  if (query.rolls_back !== undefined && query.rolls_back !== run.rolls_back) return false
  if (query.first_run !== undefined && query.first_run !== run.first_run) return false
  for (const [name, value] of Object.entries(query.inputs ?? {}))
    if (!run.vars || !Object.hasOwn(run.vars, name) || inputText(run.vars[name]!) !== inputText(value))
      return false
  for (const [name, value] of Object.entries(query.labels ?? {})) {
    const has = run.labels && Object.hasOwn(run.labels, name) ? run.labels[name] : undefined
    if (has === undefined || (value !== undefined && has !== value)) return false
  }
  if (query.needs_answer && !(openStatuses.includes(run.status) && isAsking(run.list_row))) return false
  if (query.repository !== undefined && query.repository !== run.repository) return false
  if (query.agent !== undefined && query.agent !== sessionOf(run)?.agent) return false
  if (query.shared_with !== undefined) {
    const { name, role } = query.shared_with
    if (run.owner === name || !run.shares?.some((share) => share.user === name || share.role === role))
      return false
  }
  if (query.text !== undefined && !hasText(run, query.text)) return false
  if (query.created_after !== undefined && run.created_at <= query.created_after) return false
  if (query.created_before !== undefined && run.created_at >= query.created_before) return false
  const place = { key: sortKey(run, query.sort), run_id: run.run_id }
  return query.after === undefined || compareKeys(query.sort)(place, query.after) > 0
}

/** Returns all matches of a query, in no order. */
export function found<T extends Listed>(query: CheckedQuery, runs: readonly T[]): T[] {
  const matching = runs.filter((run) => matches(query, run))
  if (!query.latest) return matching
  const newest = new Map<string, number>()
  for (const { first_run, owner, try: number = 1 } of runs)
    if (first_run !== undefined && (query.owner ?? owner) === owner)
      newest.set(first_run, Math.max(newest.get(first_run) ?? 1, number))
  return matching.filter((run) => (run.try ?? 1) >= (newest.get(run.first_run ?? run.run_id) ?? 1))
}

const isAsking = (row: string | undefined): boolean =>
  row !== undefined && (JSON.parse(row) as RunListRow).now?.question !== undefined

export const openStatuses = RunStatus.options.filter((status) => !isFinalRun(status))

/** Returns the part of an input's value that is compared. */
export const inputText = (value: string): string => value.slice(0, MOST_INPUT)

/** Counts runs, for stores that iterate over them. */
export function countRuns(runs: readonly Pick<RunRecord, 'status'>[]): RunCounts {
  const by_status: RunCounts['by_status'] = {}
  for (const { status } of runs) by_status[status] = (by_status[status] ?? 0) + 1
  return cutCounts(by_status)
}

/** Limits counts to the largest that is reported. */
export function cutCounts(counted: RunCounts['by_status']): RunCounts {
  const entries = Object.entries(counted) as [RunStatus, number][]
  return {
    by_status: Object.fromEntries(entries.map(([status, count]) => [status, Math.min(count, MOST_COUNTED)])),
    more: entries.flatMap(([status, count]) => (count > MOST_COUNTED ? [status] : [])),
  }
}

const sessionOf = ({ list_row }: Pick<Listed, 'list_row'>): RunListRow['session'] =>
  list_row === undefined ? undefined : (JSON.parse(list_row) as RunListRow).session

const hasText = (run: Listed, text: string): boolean =>
  [run.run_id, run.workflow_name, (run.blueprint !== 'workflow' && sessionOf(run)?.last_words) || ''].some(
    (each) => asciiLower(each).includes(asciiLower(text)),
  )

/** Lowers the case like SQLite's `lower`. */
export const asciiLower = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

/** Returns the page of sorted matches; `found` has one more than the limit if there are more. */
export function cutPage<T extends ListKey>(
  found: T[],
  { limit, sort }: Pick<RunQuery, 'limit' | 'sort'>,
): { runs: T[]; next_cursor?: string } {
  const runs = found.slice(0, limit)
  const last = runs.at(-1)
  return found.length > limit && last !== undefined
    ? { runs, next_cursor: writeCursor(last, sort) }
    : { runs }
}
