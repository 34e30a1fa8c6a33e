import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import { isFinalTask, TaskState } from '../../contract/tasks/task.ts'
import type { TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskRecord, TaskSpec, TaskStand } from '../../contract/tasks/task-record.ts'
import {
  checkTaskOrder,
  type NewTask,
  type TaskKey,
  type TaskPage,
  type TaskQuery,
  type TaskStore,
  taskExists,
  taskNotFound,
  taskOutOfOrder,
  taskPage,
  taskParts,
} from '../tasks/task-store.ts'
import type { SqlSession } from './session.ts'

const selectTask = 'SELECT * FROM tasks WHERE id = ?'
const selectByName = 'SELECT * FROM tasks WHERE tenant = ? AND spec_name = ? AND own_id = ?'
const insertTask = `INSERT INTO tasks
  (id, tenant, owner, spec_name, own_id, repo, created_at, state, open_run, progress, last_seq, spec)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
const insertEvent = 'INSERT INTO task_events (task_id, seq, json) VALUES (?, ?, ?)'
const updateTask = `UPDATE tasks SET state = ?, open_run = ?, progress = ?, last_seq = last_seq + ?
  WHERE id = ? AND last_seq = ?`
const openStates = TaskState.options.filter((state) => !isFinalTask(state)).map((state) => `'${state}'`)
const selectOpen = `SELECT * FROM tasks WHERE state IN (${openStates}) OR open_run IS NOT NULL ORDER BY created_at, id`
const selectOver = `SELECT id FROM tasks WHERE state NOT IN (${openStates}) AND open_run IS NULL
  AND json_extract(progress, '$.updated_at') < ? ORDER BY created_at, id LIMIT ?`
const selectEvents = 'SELECT json FROM task_events WHERE task_id = ? AND seq > ? ORDER BY seq LIMIT ?'

/** Stores coding tasks in a SQLite database. */
export class SqliteTaskStore implements TaskStore {
  readonly #session: SqlSession

  constructor(session: SqlSession) {
    this.#session = session
  }

  async create(tasks: readonly NewTask[]): Promise<void> {
    for (const { spec, events } of tasks) checkTaskOrder(spec.id, 0, events)
    await this.#session.write(() => {
      const names = new Set<string>()
      // All checks come before the first write, because neighbors in this commit are committed in any case.
      const taken = tasks.flatMap(({ spec }) => {
        const there =
          this.#session.get(selectByName, ...nameOf(spec)) ?? this.#session.get(selectTask, spec.id)
        const name = JSON.stringify(nameOf(spec))
        const isTwice = names.has(name)
        names.add(name)
        return there !== undefined ? [String(there.id)] : isTwice ? [spec.id] : []
      })
      if (taken.length > 0) throw taskExists(taken)
      for (const { spec, stand, events } of tasks) this.#insert(spec, stand, events)
    })
  }

  async append(id: string, events: readonly TaskEvent[], stand: TaskStand): Promise<void> {
    const first = events[0]?.seq
    if (first === undefined) return
    checkTaskOrder(id, first - 1, events)
    await this.#session.write(() => {
      const { state, open_run = null } = stand
      const values = [state, open_run, JSON.stringify(stand), events.length, id, first - 1]
      if (this.#session.run(updateTask, ...values) === 0) {
        const there = this.#session.get(selectTask, id)
        if (there === undefined) throw taskNotFound(id)
        throw taskOutOfOrder(id, Number(there.last_seq) + 1, first)
      }
      this.#insertEvents(id, events)
    })
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    return this.#one(selectTask, id)
  }

  async find(key: TaskKey): Promise<TaskRecord | undefined> {
    return this.#one(selectByName, ...nameOf(key))
  }

  async list(query: TaskQuery): Promise<TaskPage> {
    const found: TaskRecord[] = []
    for (const { rank, states, after } of taskParts(query)) {
      if (found.length > query.limit) break
      // An index gives the order only within one state.
      const lists = rank === undefined ? [states] : states!.map((state) => [state])
      const rows = lists.flatMap((some) => this.#read(query, some, after))
      found.push(...rows.map(recordOf).sort(newestFirst))
    }
    return taskPage(found, query)
  }

  async open(): Promise<TaskRecord[]> {
    return this.#session.read(() => this.#session.all(selectOpen)).map(recordOf)
  }

  async over(before: string, limit: number): Promise<string[]> {
    return this.#session.read(() => this.#session.all(selectOver, before, limit)).map(({ id }) => String(id))
  }

  async remove(id: string): Promise<void> {
    await this.#session.write(() => {
      this.#session.run('DELETE FROM task_events WHERE task_id = ?', id)
      this.#session.run('DELETE FROM tasks WHERE id = ?', id)
    })
  }

  async events(id: string, after: number, limit: number): Promise<TaskEvent[]> {
    const rows = this.#session.read(() => this.#session.all(selectEvents, id, after, limit))
    return rows.map((row) => JSON.parse(String(row.json)) as TaskEvent)
  }

  async reportedTo(id: string): Promise<number> {
    const row = this.#session.read(() =>
      this.#session.get('SELECT delivered_seq FROM tasks WHERE id = ?', id),
    )
    return Number(row?.delivered_seq ?? 0)
  }

  async markReported(id: string, seq: number): Promise<void> {
    await this.#session.write(() =>
      this.#session.run('UPDATE tasks SET delivered_seq = ? WHERE id = ?', seq, id),
    )
  }

  async unreported(limit: number): Promise<string[]> {
    const sql = 'SELECT id FROM tasks WHERE delivered_seq < last_seq ORDER BY created_at, id LIMIT ?'
    return this.#session.read(() => this.#session.all(sql, limit)).map((row) => String(row.id))
  }

  /** Inserts a task. Call it, like all methods below, within a transaction. */
  #insert(spec: TaskSpec, stand: TaskStand, events: readonly TaskEvent[]): void {
    const { id, tenant, owner, spec_name, own_id, repo, created_at } = spec
    const names = [id, tenant, owner, spec_name, own_id, repo, created_at]
    const now = [stand.state, stand.open_run ?? null, JSON.stringify(stand), events.length]
    this.#session.run(insertTask, ...names, ...now, JSON.stringify(spec))
    this.#insertEvents(id, events)
  }

  #insertEvents(id: string, events: readonly TaskEvent[]): void {
    for (const event of events) this.#session.run(insertEvent, id, event.seq, JSON.stringify(event))
  }

  #read(
    query: TaskQuery,
    states: readonly TaskState[] | undefined,
    after: { created_at: string; id: string } | undefined,
  ): Row[] {
    const where: string[] = []
    const values: SQLInputValue[] = []
    const filter = (condition: string, ...provided: (string | undefined)[]) => {
      if (provided.some((value) => value === undefined)) return
      where.push(condition)
      values.push(...(provided as string[]))
    }
    filter('tenant = ?', query.tenant)
    filter('owner = ?', query.owner)
    filter('repo = ?', query.repo)
    filter('spec_name = ?', query.spec_name)
    filter('own_id = ?', query.own_id)
    filter("json_extract(spec, '$.task.agent') = ?", query.agent)
    const part = query.text?.toLowerCase()
    filter(
      "(instr(lower(json_extract(spec, '$.title')), ?) > 0 OR instr(lower(own_id), ?) > 0 OR instr(id, ?) > 0)",
      ...[part, part, part],
    )
    if (states !== undefined) {
      where.push(`state IN (${states.map(() => '?')})`)
      values.push(...states)
    }
    filter('(created_at, id) < (?, ?)', after?.created_at, after?.id)
    const sql = `SELECT * FROM tasks WHERE ${where.join(' AND ')} ORDER BY created_at DESC, id DESC LIMIT ?`
    return this.#session.read(() => this.#session.all(sql, ...values, query.limit + 1))
  }

  #one(sql: string, ...values: SQLInputValue[]): TaskRecord | undefined {
    const row = this.#session.read(() => this.#session.get(sql, ...values))
    return row && recordOf(row)
  }
}

const nameOf = ({ tenant, spec_name, own_id }: TaskKey) => [tenant, spec_name, own_id] as const

const newestFirst = (a: TaskRecord, b: TaskRecord): number =>
  a.created_at === b.created_at ? (a.id < b.id ? 1 : -1) : a.created_at < b.created_at ? 1 : -1

type Row = Record<string, SQLOutputValue>

const recordOf = (row: Row): TaskRecord => ({
  ...(JSON.parse(String(row.spec)) as TaskSpec),
  ...(JSON.parse(String(row.progress)) as TaskStand),
  last_seq: Number(row.last_seq),
})
