import { isFinalTask } from '../../contract/tasks/task.ts'
import type { TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskRecord, TaskStand } from '../../contract/tasks/task-record.ts'
import {
  checkTaskOrder,
  type NewTask,
  type TaskKey,
  type TaskPage,
  type TaskQuery,
  type TaskStore,
  taskExists,
  taskNotFound,
  taskPage,
  taskParts,
} from './task-store.ts'

interface StoredTask {
  record: TaskRecord
  events: TaskEvent[]
  told: number
}

const textOf = ({ tenant, spec_name, own_id }: TaskKey): string => JSON.stringify([tenant, spec_name, own_id])

/** Stores tasks while this process lives. */
export class MemoryTaskStore implements TaskStore {
  readonly #tasks = new Map<string, StoredTask>()
  readonly #ids = new Map<string, string>()

  async create(tasks: readonly NewTask[]): Promise<void> {
    const names = new Set<string>()
    const taken: string[] = []
    for (const { spec, events } of tasks) {
      checkTaskOrder(spec.id, 0, events)
      const name = textOf(spec)
      if (this.#ids.has(name)) taken.push(this.#ids.get(name)!)
      else if (this.#tasks.has(spec.id) || names.has(name)) taken.push(spec.id)
      names.add(name)
    }
    if (taken.length > 0) throw taskExists(taken)
    for (const { spec, stand, events } of tasks) {
      const record = { ...structuredClone(spec), ...stand, last_seq: events.length }
      this.#tasks.set(spec.id, { record, events: [...events], told: 0 })
      this.#ids.set(textOf(spec), spec.id)
    }
  }

  async append(id: string, events: readonly TaskEvent[], stand: TaskStand): Promise<void> {
    const task = this.#tasks.get(id)
    if (task === undefined) throw taskNotFound(id)
    checkTaskOrder(id, task.record.last_seq, events)
    task.events.push(...events)
    Object.assign(task.record, noStand, stand, { last_seq: task.events.length })
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    const task = this.#tasks.get(id)
    return task && copyOf(task.record)
  }

  async find(key: TaskKey): Promise<TaskRecord | undefined> {
    const id = this.#ids.get(textOf(key))
    return id === undefined ? undefined : this.get(id)
  }

  async list(query: TaskQuery): Promise<TaskPage> {
    const all = this.#all()
      .reverse()
      .filter((record) => matches(query, record))
    const found = taskParts(query).flatMap(({ states, after }) =>
      all.filter(
        (record) =>
          (states === undefined || states.includes(record.state)) &&
          (after === undefined || compare(record, after) < 0),
      ),
    )
    return taskPage(found.slice(0, query.limit + 1), query)
  }

  async open(): Promise<TaskRecord[]> {
    return this.#all().filter(({ state, open_run }) => !isFinalTask(state) || open_run !== undefined)
  }

  async over(before: string, limit: number): Promise<string[]> {
    return this.#all()
      .filter(({ state, open_run }) => isFinalTask(state) && open_run === undefined)
      .filter(({ updated_at }) => updated_at < before)
      .slice(0, limit)
      .map(({ id }) => id)
  }

  async remove(id: string): Promise<void> {
    const task = this.#tasks.get(id)
    if (task === undefined) return
    this.#tasks.delete(id)
    this.#ids.delete(textOf(task.record))
  }

  async events(id: string, after: number, limit: number): Promise<TaskEvent[]> {
    return this.#tasks.get(id)?.events.slice(after, after + limit) ?? []
  }

  async reportedTo(id: string): Promise<number> {
    return this.#tasks.get(id)?.told ?? 0
  }

  async markReported(id: string, seq: number): Promise<void> {
    const task = this.#tasks.get(id)
    if (task !== undefined) task.told = seq
  }

  async unreported(limit: number): Promise<string[]> {
    const behind = this.#all().filter(({ id, last_seq }) => this.#tasks.get(id)!.told < last_seq)
    return behind.slice(0, limit).map(({ id }) => id)
  }

  /** Returns all tasks, oldest first. */
  #all(): TaskRecord[] {
    return [...this.#tasks.values()].map(({ record }) => copyOf(record)).sort(compare)
  }
}

const noStand: Partial<TaskStand> = {
  reason: undefined,
  message: undefined,
  why: undefined,
  open_run: undefined,
  retry_at: undefined,
  tests: undefined,
  pull_request: undefined,
}

/** Copies a record without undefined fields, as a database returns it. */
const copyOf = (record: TaskRecord): TaskRecord =>
  Object.fromEntries(
    Object.entries(record).filter(([, value]) => value !== undefined),
  ) as unknown as TaskRecord

const compare = (
  a: Pick<TaskRecord, 'created_at' | 'id'>,
  b: Pick<TaskRecord, 'created_at' | 'id'>,
): number =>
  a.created_at === b.created_at
    ? a.id < b.id
      ? -1
      : Number(a.id > b.id)
    : a.created_at < b.created_at
      ? -1
      : 1

const matches = (query: TaskQuery, record: TaskRecord): boolean =>
  record.tenant === query.tenant &&
  (query.owner === undefined || record.owner === query.owner) &&
  (query.states === undefined || query.states.includes(record.state)) &&
  (query.repo === undefined || record.repo === query.repo) &&
  (query.spec_name === undefined || record.spec_name === query.spec_name) &&
  (query.own_id === undefined || record.own_id === query.own_id) &&
  (query.agent === undefined || record.task.agent === query.agent) &&
  (query.text === undefined ||
    textsOf(record).some((text) => text.toLowerCase().includes(query.text!.toLowerCase())))

const textsOf = ({ title, own_id, id }: TaskRecord): string[] => [title, own_id, id]
