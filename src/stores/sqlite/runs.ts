import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../contract/run.ts'
import { isFinalRun, RunStatus } from '../../contract/status.ts'
import {
  MOST_COUNTED,
  type RunCounts,
  type RunPage,
  type RunQuery,
  type RunStore,
} from '../../engine/ports.ts'
import {
  activeKey,
  activeParts,
  asciiLower,
  type CheckedQuery,
  checkQuery,
  compareKeys,
  cutCounts,
  cutPage,
  inputText,
  isRising,
  NOT_ENDED,
} from '../runs/run-query.ts'
import {
  type Change,
  checkOrder,
  interruption,
  newRecord,
  outOfOrder,
  patchKeys,
  runExists,
  runNotFound,
} from '../runs/run-record.ts'
import { keepInputs } from './run-inputs.ts'
import { RunRemoval } from './run-removal.ts'
import type { SqlSession } from './session.ts'

/** The number of the newest try of a run's chain; null for a run without others. */
const tries =
  '(SELECT max(t.try) FROM runs AS t WHERE t.first_run = coalesce(runs.first_run, runs.run_id)) AS tries'
const isNewest = `NOT EXISTS (SELECT 1 FROM runs AS t WHERE t.first_run = coalesce(runs.first_run, runs.run_id)
  AND t.try > coalesce(runs.try, 1))`
const isNewestOfOwner = `NOT EXISTS (SELECT 1 FROM runs AS t WHERE t.first_run = coalesce(runs.first_run, runs.run_id)
  AND t.try > coalesce(runs.try, 1) AND t.owner = runs.owner)`
const selectRun = `SELECT *, ${tries} FROM runs JOIN run_specs USING (n) WHERE run_id = ?`
const selectNumber = 'SELECT n FROM runs WHERE run_id = ?'
const selectState = 'SELECT status, last_seq FROM runs WHERE run_id = ?'
const selectEvents = 'SELECT json FROM events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?'
const openStatuses = RunStatus.options.filter((status) => !isFinalRun(status)).map((status) => `'${status}'`)
const selectOpen = `SELECT run_id FROM runs WHERE status IN (${openStatuses}) ORDER BY created_at, run_id`
const selectOutput =
  'SELECT tenant, owner, sum(output_bytes) AS bytes FROM runs WHERE output_bytes IS NOT NULL GROUP BY tenant, owner'
const specColumns = ['run_id', 'created_at', 'workflow_name', 'owner', 'tenant', 'blueprint']
const fixedColumns = [
  ...specColumns,
  'parent_run_id',
  'continues',
  'rolls_back',
  'first_run',
  'try',
  'last_seq',
]
const columns = [...fixedColumns, ...patchKeys]
const insertRun = `INSERT INTO runs (${columns}) VALUES (${columns.map(() => '?')})`
const insertSpec = 'INSERT INTO run_specs (n, spec) VALUES (last_insert_rowid(), ?)'
const insertEvent = 'INSERT INTO events (run_id, seq, json) VALUES (?, ?, ?)'

/** Stores runs in a SQLite database. */
export class SqliteRunStore implements RunStore {
  readonly capabilities = { durable: true }
  readonly #session: SqlSession
  readonly #lists: RunLists
  readonly #removal: RunRemoval

  constructor(session: SqlSession) {
    this.#session = session
    this.#lists = new RunLists(session)
    this.#removal = new RunRemoval(session)
  }

  async create(spec: RunSpec, events: readonly RunEvent[], patch?: RunPatch): Promise<void> {
    checkOrder(spec.run_id, 0, events)
    const { values } = patchColumns({ ...noFields, ...patch, status: patch?.status ?? 'queued' })
    const json = JSON.stringify(spec)
    const texts = events.map((event) => JSON.stringify(event))
    await this.#session.write(() => {
      if (this.#session.get(selectState, spec.run_id) !== undefined) throw runExists(spec.run_id)
      if (this.#removal.isUnderWay(spec.run_id)) throw runExists(spec.run_id)
      const { run_id, created_at, workflow_name, owner, tenant, blueprint } = spec
      const names = [run_id, created_at, workflow_name, owner, tenant, blueprint]
      const others = [spec.parent?.run_id, spec.continues, spec.rolls_back, spec.first_run, spec.try]
      const fixed = [...names, ...others.map((one) => one ?? null), events.length]
      this.#session.run(insertRun, ...fixed, ...values)
      this.#session.run(insertSpec, json)
      if (Object.keys(spec.vars).length > 0 || spec.labels !== undefined)
        keepInputs(this.#session, Number(this.#session.get(selectNumber, run_id)!.n), spec)
      this.#appendEvents(spec.run_id, 1, texts)
    })
  }

  async update(runId: string, change: Change): Promise<void> {
    const first = change.events[0]
    if (first !== undefined) checkOrder(runId, first.seq - 1, change.events)
    const texts = change.events.map((event) => JSON.stringify(event))
    await this.#session.write(() => this.#apply(runId, first?.seq, texts, change.patch))
  }

  async get(runId: string): Promise<RunRecord | undefined> {
    const row = this.#session.read(() => this.#session.get(selectRun, runId))
    return row && rowRecord(row)
  }

  async list(query: RunQuery): Promise<RunPage> {
    return this.#session.read(() => this.#lists.list(query))
  }

  async counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts> {
    return this.#session.read(() => this.#lists.counts(query))
  }

  async events(runId: string, after: number, limit: number): Promise<RunEvent[]> {
    const rows = this.#session.read(() => this.#session.all(selectEvents, runId, after, limit))
    return rows.map((row) => JSON.parse(String(row.json)) as RunEvent)
  }

  async open(): Promise<string[]> {
    return this.#session.read(() => this.#session.all(selectOpen)).map((row) => String(row.run_id))
  }

  /** Returns the stored output bytes of each user's ended runs. */
  async outputByUser(): Promise<{ tenant: string; owner: string; bytes: number }[]> {
    const rows = this.#session.read(() => this.#session.all(selectOutput))
    return rows.map(({ tenant, owner, bytes }) => ({
      tenant: String(tenant),
      owner: String(owner),
      bytes: Number(bytes),
    }))
  }

  /** Returns the ids of ended runs without a list row, the newest first. */
  async withoutRow(limit: number): Promise<string[]> {
    const sql =
      'SELECT run_id FROM runs WHERE list_row IS NULL AND finished_at IS NOT NULL ORDER BY created_at DESC LIMIT ?'
    return this.#session.read(() => this.#session.all(sql, limit)).map((row) => String(row.run_id))
  }

  async markInterrupted(message: string, runIds?: readonly string[]): Promise<string[]> {
    const ids = runIds ?? (await this.open())
    const marked = await Promise.all(
      ids.map((runId) => this.#session.write(() => this.#interrupt(runId, message))),
    )
    return ids.filter((_, index) => marked[index])
  }

  remove(runIds: readonly string[]): Promise<void> {
    return this.#removal.remove(runIds)
  }

  async close(): Promise<void> {
    this.#session.flush()
  }

  #interrupt(runId: string, message: string): boolean {
    const state = this.#session.get(selectState, runId)
    if (state === undefined || isFinalRun(state.status as RunStatus)) return false
    const { events, patch } = interruption(Number(state.last_seq), message)
    const texts = events.map((event) => JSON.stringify(event))
    this.#apply(runId, events[0]?.seq, texts, patch)
    return true
  }

  /** Applies a change within a transaction. `firstSeq` is that of the first event, if there is one. */
  #apply(runId: string, firstSeq: number | undefined, texts: string[], patch: RunPatch | undefined): void {
    const { keys, values } = patchColumns(patch)
    const set = ['last_seq = last_seq + ?', ...keys.map((key) => `${key} = ?`)]
    const expected = firstSeq === undefined ? null : firstSeq - 1
    const update = `UPDATE runs SET ${set} WHERE run_id = ? AND (? IS NULL OR last_seq = ?)`
    const changes = this.#session.run(update, texts.length, ...values, runId, expected, expected)
    if (changes === 0) {
      const state = this.#session.get(selectState, runId)
      if (state === undefined) throw runNotFound(runId)
      throw outOfOrder(runId, Number(state.last_seq) + 1, firstSeq ?? 0)
    }
    if (firstSeq !== undefined) this.#appendEvents(runId, firstSeq, texts)
  }

  #appendEvents(runId: string, firstSeq: number, texts: string[]): void {
    let seq = firstSeq
    for (const text of texts) this.#session.run(insertEvent, runId, seq++, text)
  }
}

/** Computes the milliseconds from one time to another, in SQL. */
const between = (from: string, to: string): string =>
  `CAST(round((julianday(${to}) - julianday(${from})) * 86400000) AS INTEGER)`

/** The keys of `sortKey`, in SQL. */
const sortKeys: Readonly<Record<string, string>> = {
  started: 'coalesce(started_at, runs.created_at)',
  finished: `coalesce(finished_at, '${NOT_ENDED}')`,
  // Older runs have no stored waits: for them it is the time since their start.
  duration: `coalesce(iif(started_at IS NULL, NULL, ${between('runs.created_at', 'finished_at')}
    - coalesce(waited_ms, ${between('runs.created_at', 'started_at')})), -1)`,
  name: 'lower(workflow_name)',
}

const noFields = Object.fromEntries(patchKeys.map((key) => [key, undefined])) as RunPatch

type Row = Record<string, SQLOutputValue>

type PatchKey = (typeof patchKeys)[number]

/** Returns the columns that a patch changes, with their values. */
function patchColumns(patch: RunPatch | undefined): { keys: PatchKey[]; values: SQLInputValue[] } {
  if (patch === undefined) return { keys: [], values: [] }
  const keys = patchKeys.filter((key) => key in patch && !(key === 'status' && patch.status === undefined))
  return { keys, values: keys.map((key) => columnValue(patch[key])) }
}

const columnValue = (value: RunPatch[PatchKey]): SQLInputValue =>
  value === undefined ? null : typeof value === 'object' ? JSON.stringify(value) : value

const isJson: ReadonlySet<PatchKey> = new Set(['outputs', 'shares', 'set_aside'])

/** Converts a row of `runs` with its `spec` to a record. */
function rowRecord(row: Row): RunRecord {
  const record = newRecord(JSON.parse(String(row.spec)) as RunSpec)
  for (const key of patchKeys) {
    const value = row[key]
    if (value === null || value === undefined) continue
    Object.assign(record, { [key]: isJson.has(key) ? JSON.parse(String(value)) : value })
  }
  record.last_seq = Number(row.last_seq)
  // For retries that predate chains, only the columns have them.
  if (typeof row.first_run === 'string')
    Object.assign(record, { first_run: row.first_run, try: Number(row.try) })
  if (typeof row.tries === 'number') record.tries = row.tries
  return record
}

interface ListedRow {
  key: string | number
  run_id: string
  row: Row
}

/** Lists runs; each list is read in the order of an index. */
class RunLists {
  readonly #session: SqlSession

  constructor(session: SqlSession) {
    this.#session = session
  }

  list(query: RunQuery): RunPage {
    const checked = checkQuery(query)
    const found = checked.sort === 'active' ? this.#activeFirst(checked) : this.#inOrder(checked)
    const { runs, ...rest } = cutPage(found, query)
    return { runs: runs.map(({ row }) => rowRecord({ ...row, ...this.#spec(row) })), ...rest }
  }

  #inOrder(query: CheckedQuery): ListedRow[] {
    const rows = statusesToRead(query).flatMap((status) => this.#read(query, status))
    const found = rows.map((row) => ({
      key: row.sort_key as string | number,
      run_id: String(row.run_id),
      row,
    }))
    return found.sort(compareKeys(query.sort)).slice(0, query.limit + 1)
  }

  #activeFirst(query: CheckedQuery): ListedRow[] {
    const found: ListedRow[] = []
    for (const { isOpen, query: part } of activeParts(query)) {
      if (found.length > query.limit) break
      for (const one of this.#inOrder(part)) found.push({ ...one, key: activeKey(isOpen, String(one.key)) })
    }
    return found
  }

  counts(query: Omit<RunQuery, 'limit' | 'cursor'>): RunCounts {
    const checked = checkQuery({ ...query, limit: 1 })
    const counted: RunCounts['by_status'] = {}
    if ((checked.inputs ?? checked.labels ?? checked.text) !== undefined) return this.#countOnce(checked)
    for (const status of new Set(ofNeeds(checked) ?? checked.statuses ?? RunStatus.options)) {
      const { from, conditions, values } = this.#parts(checked, status)
      const sql = `SELECT count(*) AS count FROM (SELECT 1 FROM ${from}${conditions} LIMIT ${MOST_COUNTED + 1})`
      const count = Number(this.#session.get(sql, ...values)?.count)
      if (count > 0) counted[status] = count
    }
    return cutCounts(counted)
  }

  /**
   * Counts in one pass: no index has these runs by status. With so many runs, reading all statuses together is
   * cheapest.
   */
  #countOnce(query: CheckedQuery): RunCounts {
    const { from, conditions, values } = this.#parts(query, undefined)
    const some = `SELECT status FROM ${from}${conditions} LIMIT ${MOST_COUNTED}`
    const rows = this.#session.all(
      `SELECT status, count(*) AS count FROM (${some}) GROUP BY status`,
      ...values,
    )
    const by_status: RunCounts['by_status'] = Object.fromEntries(
      rows.map(({ status, count }) => [status, Number(count)]),
    )
    const counted = Object.values(by_status).reduce((sum, count) => sum + count, 0)
    return { by_status, more: counted < MOST_COUNTED ? [] : (Object.keys(by_status) as RunStatus[]) }
  }

  #read(query: CheckedQuery, status: RunStatus | undefined): Row[] {
    const { from, conditions, values, key, order } = this.#parts(query, status)
    const last = `FROM ${from}${conditions} ORDER BY ${order} LIMIT ?`
    if (query.sort === undefined)
      return this.#session.all(
        `SELECT runs.*, ${tries}, ${key} AS sort_key ${last}`,
        ...values,
        query.limit + 1,
      )
    // The index identifies the runs without reading their rows.
    const chosen = this.#session.all(
      `SELECT runs.n AS n, ${key} AS sort_key ${last}`,
      ...values,
      query.limit + 1,
    )
    return chosen.map(({ n, sort_key }) => ({
      ...this.#session.get(`SELECT *, ${tries} FROM runs WHERE n = ?`, n!),
      sort_key: sort_key!,
    }))
  }

  /** Builds the SQL for the runs of a query, in the order of an index. */
  #parts(query: CheckedQuery, status: RunStatus | undefined) {
    const where: string[] = []
    const values: SQLInputValue[] = []
    const filter = (condition: string, ...provided: (string | undefined)[]) => {
      if (provided.some((value) => value === undefined)) return
      where.push(condition)
      values.push(...(provided as string[]))
    }
    const special = query.blueprint === 'workflow' ? undefined : query.blueprint
    type InputFilter = ['run_inputs' | 'run_labels', string, string | undefined]
    const filters: InputFilter[] = [
      ...Object.entries(query.inputs ?? {}).map(
        ([name, value]): InputFilter => ['run_inputs', name, inputText(value)],
      ),
      ...Object.entries(query.labels ?? {}).map(([name, value]): InputFilter => ['run_labels', name, value]),
    ]
    // The index of the first gives the order; the others are checked for each of its runs. There are few open runs.
    const first = isOfOpen(query) ? undefined : filters[0]
    const others = first === undefined ? filters : filters.slice(1)
    const [by] = first ?? (['runs'] as const)
    const runs = query.shared_with === undefined ? 'runs' : 'runs INDEXED BY runs_shared'
    const from = first === undefined ? runs : `${by} CROSS JOIN runs USING (n)`
    if (first !== undefined) {
      filter(`${by}.name = ?`, first[1])
      filter(`${by}.value = ?`, first[2])
    }
    if (query.statuses !== undefined && status === undefined)
      where.push(`status IN (${query.statuses.map((one) => `'${one}'`)})`)
    for (const [table, name, value] of others)
      filter(
        `EXISTS (SELECT 1 FROM ${table} AS other WHERE other.n = runs.n AND other.name = ?${value === undefined ? '' : ' AND other.value = ?'})`,
        ...[name, ...(value === undefined ? [] : [value])],
      )
    if (query.needs_answer)
      where.push(`status IN (${openStatuses})`, "list_row ->> '$.now.question.kind' IS NOT NULL")
    if (query.shared_with !== undefined) {
      const { name, role } = query.shared_with
      where.push(`shares IS NOT NULL AND owner <> ? AND EXISTS (SELECT 1 FROM json_each(shares) AS share
        WHERE share.value ->> '$.user' = ? OR share.value ->> '$.role' = ?)`)
      values.push(name, name, role)
    }
    filter('status = ?', status)
    filter('workflow_name = ?', query.workflow_name)
    filter('owner = ?', query.owner)
    // The plus keeps SQLite from using the tenant's index when another is narrower.
    const narrower = query.owner ?? query.workflow_name ?? ofOneRun(query) ?? special ?? query.shared_with
    filter(narrower === undefined ? 'tenant = ?' : '+tenant = ?', query.tenant)
    filter('parent_run_id = ?', query.parent_run_id)
    filter('continues = ?', query.continues)
    filter('rolls_back = ?', query.rolls_back)
    filter('first_run = ?', query.first_run)
    if (query.latest) where.push(query.owner === undefined ? isNewest : isNewestOfOwner)
    filter('blueprint = ?', query.blueprint)
    // Worded exactly as in the index; otherwise SQLite does not use it.
    if (special !== undefined) where.push("blueprint <> 'workflow'")
    const text = query.text === undefined ? undefined : asciiLower(query.text)
    filter("list_row ->> '$.session.agent' = ?", query.agent)
    filter(
      "EXISTS (SELECT 1 FROM run_specs WHERE run_specs.n = runs.n AND spec ->> '$.repository' = ?)",
      query.repository,
    )
    // Skips the rows of workflows, which are nearly all.
    filter(
      `(instr(lower(runs.run_id), ?) OR instr(lower(workflow_name), ?)
        OR blueprint <> 'workflow' AND instr(lower(list_row ->> '$.session.last_words'), ?))`,
      ...[text, text, text],
    )
    filter(`${by}.created_at > ?`, query.created_after)
    filter(`${by}.created_at < ?`, query.created_before)
    const { after, sort } = query
    const key = sort === undefined ? `${by}.created_at` : sortKeys[sort.replace('-', '')]!
    const direction = isRising(sort) ? 'ASC' : 'DESC'
    if (after !== undefined && sort === undefined) {
      where.push(`(${key}, ${by}.run_id) < (?, ?)`)
      values.push(after.key, after.run_id)
    } else if (after !== undefined) {
      where.push(`(${key} ${isRising(sort) ? '>' : '<'} ? OR (${key} = ? AND ${by}.run_id < ?))`)
      values.push(after.key, after.key, after.run_id)
    }
    const conditions = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`
    return { from, conditions, values, key, order: `${key} ${direction}, ${by}.run_id DESC` }
  }

  #spec(row: Row): Row | undefined {
    return this.#session.get('SELECT spec FROM run_specs WHERE n = ?', row.n ?? null)
  }
}

/**
 * Returns the statuses to query separately: an index that begins with the status gives the order only within one. The
 * indexes by owner, workflow and tenant are such; the others serve all statuses in one query.
 */
function statusesToRead(query: CheckedQuery): readonly (RunStatus | undefined)[] {
  const open = ofNeeds(query)
  const byInputs = !isOfOpen(query) && (query.inputs ?? query.labels) !== undefined
  const isOneList = byInputs || (query.sort ?? query.shared_with) !== undefined
  if (open !== undefined) return isOneList ? [undefined] : open
  if (isOneList) return [undefined]
  if (query.statuses !== undefined) return [...new Set(query.statuses)]
  const byStatusToo = query.owner ?? query.workflow_name ?? query.tenant ?? query.blueprint
  return byStatusToo !== undefined && ofOneRun(query) === undefined ? RunStatus.options : [undefined]
}

/** Reports whether only open runs are requested, in the order of their creation: their indexes by status are short. */
const isOfOpen = ({ statuses, sort }: CheckedQuery): boolean =>
  sort === undefined && statuses !== undefined && !statuses.some(isFinalRun)

/** Returns the open statuses, since only open runs wait for an answer. */
const ofNeeds = ({ needs_answer, statuses }: CheckedQuery): RunStatus[] | undefined =>
  needs_answer
    ? RunStatus.options.filter((status) => !isFinalRun(status) && (statuses?.includes(status) ?? true))
    : undefined

/** Returns the run whose children, continuations, rollbacks or tries are requested. */
const ofOneRun = ({ parent_run_id, continues, rolls_back, first_run }: CheckedQuery): string | undefined =>
  parent_run_id ?? continues ?? rolls_back ?? first_run
