import { ErrandError } from '../../contract/errors.ts'
import type { TaskState } from '../../contract/tasks/task.ts'
import type { NewTaskEvent, TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskRecord, TaskSpec } from '../../contract/tasks/task-record.ts'
import { Feed } from '../../engine/runtime/watch.ts'
import { foldTask, isOver, standOf, type TaskFold } from '../../engine/tasks/evolve-task.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import { type NewTask, type TaskStore, taskNotFound } from '../../stores/tasks/task-store.ts'

/** A task with its current state. A later change makes a new object. */
export interface LoadedTask {
  readonly spec: TaskSpec
  readonly fold: TaskFold
}

/** Limits the tasks of one sweep. */
const REMOVED_AT_ONCE = 10_000
/** Number of events in one read of the store. */
const PAGE = 500

/**
 * Stores the logs of tasks. The states of open tasks are in memory, and changes of one task run one after another. A
 * change therefore always decides on the current state.
 */
export class TaskLogs {
  readonly #store: TaskStore
  readonly #feed = new Feed()
  readonly #open = new Map<string, LoadedTask>()
  /** Tasks that open ones depend on or once depended on, and what is known of those that are over. */
  readonly #depended = new Set<string>()
  readonly #over = new Map<string, { state: TaskState; name: string } | undefined>()
  /** End of the last change of each task that has one in progress. */
  readonly #pending = new KeyedMutex()
  readonly #now: () => number
  #closed = false

  readonly #changed: (id: string) => void

  /** `changed` is called with the task's id after each commit. */
  constructor(
    store: TaskStore,
    { now = Date.now, changed = () => {} }: { now?: () => number; changed?: (id: string) => void } = {},
  ) {
    this.#store = store
    this.#now = now
    this.#changed = changed
  }

  /** Loads the open tasks into memory. */
  async restore(): Promise<void> {
    for (const { id } of await this.#store.open()) await this.#adopt(id)
  }

  /** Returns the tasks that are not over, in no order. */
  open(): Iterable<LoadedTask> {
    return this.#open.values()
  }

  /** Returns a task. Throws `task_not_found`. */
  async get(id: string): Promise<LoadedTask> {
    const open = this.#open.get(id)
    if (open !== undefined) return open
    const record = await this.#store.get(id)
    if (record === undefined) throw taskNotFound(id)
    return this.#loaded(record)
  }

  /** Returns the task, or undefined if it is not open. */
  openTask(id: string): LoadedTask | undefined {
    return this.#open.get(id)
  }

  /** Returns the state of a task that an open one depends on, and its name in messages. */
  statusOf(id: string): { state: TaskState | undefined; name: string } {
    const task = this.#open.get(id)
    if (task !== undefined) return { state: task.fold.state, name: task.spec.own_id }
    return this.#over.get(id) ?? { state: undefined, name: id }
  }

  /** Returns the ids of open tasks that depend on this one, directly or not. */
  dependants(id: string): string[] {
    const found = new Set<string>()
    for (let of = new Set([id]); of.size > 0; ) {
      const next = new Set<string>()
      for (const { spec } of this.#open.values())
        if (!found.has(spec.id) && spec.depends_on.some((each) => of.has(each))) next.add(spec.id)
      for (const each of next) found.add(each)
      of = next
    }
    return [...found]
  }

  /** Creates all tasks or none, ordered so that each comes after those it depends on. Throws `task_exists`. */
  async create(specs: readonly TaskSpec[], by: string): Promise<void> {
    const time = this.#time()
    const made = specs.map((spec) => {
      const events: TaskEvent[] = [{ seq: 1, time, type: 'task.created', title: spec.title, by }]
      return { spec, events, fold: foldTask(events) }
    })
    await this.#store.create(
      made.map(({ spec, events, fold }): NewTask => ({ spec, events, stand: standOf(fold) })),
    )
    for (const { spec } of made) await this.#adopt(spec.id)
    for (const { spec } of made) {
      this.#feed.report(spec.id)
      this.#changed(spec.id)
    }
  }

  /**
   * Appends the events that `decide` returns for the current state, in one commit; none change nothing. Changes of
   * one task run one after another. Throws `task_not_found`, and what `decide` throws.
   */
  async change(
    id: string,
    decide: (task: LoadedTask) => readonly NewTaskEvent[] | Promise<readonly NewTaskEvent[]>,
  ): Promise<LoadedTask> {
    return await this.#pending.run(id, () => this.#change(id, decide))
  }

  /**
   * Removes tasks that have been over since before that time, except those that an open one depends on. Returns how
   * many.
   */
  async removeOver(before: string): Promise<number> {
    const needed = new Set([...this.#open.values()].flatMap(({ spec }) => spec.depends_on))
    let removed = 0
    for (const id of await this.#store.over(before, REMOVED_AT_ONCE))
      if (!needed.has(id))
        await this.#pending.run(id, async () => {
          // The task may have started again in the meantime.
          if (this.#open.has(id)) return
          await this.#store.remove(id)
          this.#over.delete(id)
          removed++
        })
    return removed
  }

  /**
   * Removes a task that is over, after `before` has removed what depends on it. Throws `task_running` if it is not
   * over, `conflict` if an open task depends on it, and `task_not_found`.
   */
  async remove(id: string, before: (task: LoadedTask) => Promise<void>): Promise<void> {
    await this.#pending.run(id, async () => {
      const task = await this.get(id)
      if (this.#open.has(id))
        throw new ErrandError('task_running', `Task ${id} has not ended: it is ${task.fold.state}.`, {
          hint: `End it first: errand task cancel ${id}`,
        })
      const above = [...this.#open.values()].find(({ spec }) => spec.depends_on.includes(id))
      if (above !== undefined)
        throw new ErrandError('conflict', `Task ${above.spec.id} depends on task ${id}.`, {
          hint: `End that one first: errand task cancel ${above.spec.id}`,
        })
      await before(task)
      await this.#store.remove(id)
      this.#over.delete(id)
    })
    this.#feed.report(id)
  }

  /** Follows a log at the reader's pace. Ends when the task is over, and when aborted or closed. */
  async *watch(id: string, after: number, signal?: AbortSignal): AsyncGenerator<TaskEvent> {
    using follower = this.#feed.follow(id)
    signal?.addEventListener('abort', follower.tell)
    try {
      for (let seq = after; !signal?.aborted && !this.#closed; ) {
        // Called before reading, so that no commit in between is missed.
        follower.reads()
        const isOpen = this.#open.has(id)
        const events = await this.#store.events(id, seq, PAGE)
        for (const event of events) {
          seq = event.seq
          yield event
          if (signal?.aborted) return
        }
        if (events.length > 0) continue
        if (!isOpen) return
        await follower.news()
      }
    } finally {
      signal?.removeEventListener('abort', follower.tell)
    }
  }

  /** Ends all followers of logs and waits for changes in progress. */
  async close(): Promise<void> {
    this.#closed = true
    this.#feed.close()
    await this.#pending.settled()
  }

  async #change(id: string, decide: Parameters<TaskLogs['change']>[1]): Promise<LoadedTask> {
    const task = await this.get(id)
    const decided = await decide(task)
    if (decided.length === 0) return task
    const time = this.#time()
    const events = decided.map(
      (event, index): TaskEvent => ({ ...event, seq: task.fold.seq + 1 + index, time }),
    )
    const fold = foldTask(events, task.fold)
    await this.#store.append(id, events, standOf(fold))
    const changed = { spec: task.spec, fold }
    if (isOver(fold)) this.#leave(changed)
    else {
      if (!this.#open.has(id)) await this.#know(task.spec)
      this.#open.set(id, changed)
      this.#over.delete(id)
    }
    this.#feed.report(id)
    this.#changed(id)
    return changed
  }

  /** Loads a task from the store into memory; a repeat changes nothing. */
  #adopt(id: string): Promise<void> {
    return this.#pending.run(id, async () => {
      if (this.#open.has(id)) return
      const record = await this.#store.get(id)
      const task = record && (await this.#loaded(record))
      if (task === undefined) this.#over.set(id, undefined)
      else if (isOver(task.fold)) this.#leave(task)
      else {
        await this.#know(task.spec)
        this.#open.set(id, task)
        this.#over.delete(id)
      }
    })
  }

  /** Makes sure that the states of all dependencies are known before a task opens. Dependencies have no cycles. */
  async #know({ depends_on }: TaskSpec): Promise<void> {
    for (const id of depends_on) {
      this.#depended.add(id)
      if (!this.#open.has(id) && !this.#over.has(id)) await this.#adopt(id)
    }
  }

  #leave({ spec, fold }: LoadedTask): void {
    this.#open.delete(spec.id)
    if (this.#depended.has(spec.id)) this.#over.set(spec.id, { state: fold.state, name: spec.own_id })
  }

  async #loaded(record: TaskRecord): Promise<LoadedTask> {
    let fold = foldTask([])
    for (;;) {
      const events = await this.#store.events(record.id, fold.seq, PAGE)
      fold = foldTask(events, fold)
      if (events.length < PAGE) return { spec: specOf(record), fold }
    }
  }

  #time(): string {
    return new Date(this.#now()).toISOString()
  }
}

/** Returns the record without the fields that change. */
function specOf(record: TaskRecord): TaskSpec {
  const { state, reason, message, why, open_run, retry_at, updated_at, last_seq, ...rest } = record
  const { tries, tests, pull_request, ...spec } = rest
  return spec
}
