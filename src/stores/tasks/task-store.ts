import { ErrandError } from '../../contract/errors.ts'
import { isFinalTask, TaskState } from '../../contract/tasks/task.ts'
import type { TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskRecord, TaskSpec, TaskStand } from '../../contract/tasks/task-record.ts'

/** The name by which a user knows a task. */
export interface TaskKey {
  tenant: string
  spec_name: string
  own_id: string
}

export interface TaskQuery {
  tenant: string
  owner?: string
  states?: readonly TaskState[]
  /** See `TaskSpec.repo`. */
  repo?: string
  spec_name?: string
  own_id?: string
  agent?: string
  /** Part of a title or an id, whatever its case. */
  text?: string
  /** Default: newest first. */
  sort?: 'active'
  /** 1 to 500. */
  limit: number
  /** The `next_cursor` of the page before. */
  cursor?: string
}

/** A page in the requested order. `next_cursor` is absent on the last page. */
export interface TaskPage {
  tasks: TaskRecord[]
  next_cursor?: string
}

export interface NewTask {
  spec: TaskSpec
  stand: TaskStand
  /** `seq` from 1. */
  events: readonly TaskEvent[]
}

/**
 * Stores tasks and their logs. Each call is one commit and resolves after it. All reject with `store_failed` or
 * `disk_full`.
 */
export interface TaskStore {
  /**
   * Creates all tasks or none. Throws `task_exists` when an id, or a name in its tenant, is taken (`details`: the ids
   * of the existing ones).
   */
  create(tasks: readonly NewTask[]): Promise<void>
  /**
   * Appends events (the first has seq = last + 1, else `conflict`) and stores the task's new stand. Only one of two
   * writers can have the right `seq`: if both begin a try, one is refused. Throws `task_not_found`.
   */
  append(id: string, events: readonly TaskEvent[], stand: TaskStand): Promise<void>
  get(id: string): Promise<TaskRecord | undefined>
  find(key: TaskKey): Promise<TaskRecord | undefined>
  list(query: TaskQuery): Promise<TaskPage>
  /** Returns the tasks that are not final, or have an open try, oldest first. */
  open(): Promise<TaskRecord[]>
  /**
   * Returns the ids of tasks that are final, have no open try and have not changed since `before` (RFC 3339), oldest
   * first.
   */
  over(before: string, limit: number): Promise<string[]>
  /** Removes a task with its log. Ignores an unknown one. */
  remove(id: string): Promise<void>
  /** Returns events with seq > after, oldest first, at most `limit`. An unknown task has none. */
  events(id: string, after: number, limit: number): Promise<TaskEvent[]>
  /** Returns how much of a task's log was reported to another registry; 0: nothing. */
  reportedTo(id: string): Promise<number>
  markReported(id: string, seq: number): Promise<void>
  /** Returns the ids of tasks with something that is not reported there yet, oldest first. */
  unreported(limit: number): Promise<string[]>
}

export const taskExists = (ids: readonly string[]): ErrandError =>
  new ErrandError(
    'task_exists',
    `${ids.length === 1 ? 'Task already exists' : 'Tasks already exist'}: ${ids.join(', ')}.`,
    {
      hint: 'Use another task_id, or leave it out.',
      details: ids,
    },
  )

export const taskNotFound = (id: string): ErrandError =>
  new ErrandError('task_not_found', `Task "${id}" not found.`, {
    hint: 'List tasks with: errand task list',
  })

export const taskOutOfOrder = (id: string, expected: number, got: number): ErrandError =>
  new ErrandError('conflict', `Task ${id} is at event ${expected - 1}: event ${got} does not follow.`, {
    hint: 'Something else has changed the task. Read it again.',
  })

/** Throws `conflict` unless the events follow one another from `last + 1`. */
export function checkTaskOrder(id: string, last: number, events: readonly TaskEvent[]): void {
  events.forEach(({ seq }, index) => {
    if (seq !== last + 1 + index) throw taskOutOfOrder(id, last + 1 + index, seq)
  })
}

interface TaskPlace {
  created_at: string
  id: string
  /** Set in the order `active`. */
  rank?: number
}

/** Returns a task's place in the order `active`: the larger comes first. */
export const activeRank = (state: TaskState): number => (state === 'waiting' ? 2 : isFinalTask(state) ? 0 : 1)

/** Parses a cursor. Throws `bad_request`. */
export function readTaskCursor({ cursor, sort }: TaskQuery): TaskPlace | undefined {
  if (cursor === undefined) return undefined
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(parts) && typeof parts[0] === 'string' && typeof parts[1] === 'string') {
      const place = { created_at: parts[0], id: parts[1] }
      if (sort === undefined && parts[2] === undefined) return place
      if (sort === 'active' && typeof parts[2] === 'number') return { ...place, rank: parts[2] }
    }
  } catch {
    // Not a valid cursor: continues below.
  }
  throw new ErrandError('bad_request', `This is not a cursor of this list of tasks: ${cursor}`, {
    hint: 'Send next_cursor of the previous page, unchanged and with the same sort, or no cursor.',
  })
}

/**
 * Splits a query into one for each rank, in order, by creation. A task whose rank falls between two pages may be in
 * both; one whose rank rises is before the cursor.
 */
export function taskParts(
  query: TaskQuery,
): { rank?: number; states?: readonly TaskState[] | undefined; after?: TaskPlace | undefined }[] {
  const after = readTaskCursor(query)
  if (query.sort === undefined) return [{ states: query.states, after }]
  return [2, 1, 0].flatMap((rank) => {
    const states = (query.states ?? TaskState.options).filter((state) => activeRank(state) === rank)
    if (states.length === 0 || rank > (after?.rank ?? rank)) return []
    return [{ rank, states, after: after?.rank === rank ? after : undefined }]
  })
}

/** Returns the page of sorted matches; `found` has one more than the limit if there are more. */
export function taskPage(found: readonly TaskRecord[], { limit, sort }: TaskQuery): TaskPage {
  const tasks = found.slice(0, limit)
  const last = tasks.at(-1)
  if (found.length <= limit || last === undefined) return { tasks }
  const place = [last.created_at, last.id, ...(sort === undefined ? [] : [activeRank(last.state)])]
  return { tasks, next_cursor: Buffer.from(JSON.stringify(place)).toString('base64url') }
}
