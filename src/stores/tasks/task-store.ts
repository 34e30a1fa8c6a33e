import { ErrandError } from '../../contract/errors.ts'
import { isFinalTask, TaskState } from '../../contract/tasks/task.ts'
import type { TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskRecord, TaskSpec, TaskStand } from '../../contract/tasks/task-record.ts'

/** The name of a task that its user knows it by. */
export interface TaskKey {
  tenant: string
  spec_name: string
  own_id: string
}

export interface TaskQuery {
  tenant: string
  owner?: string
  states?: readonly TaskState[]
  /** As `TaskSpec.repo` has it. */
  repo?: string
  spec_name?: string
  own_id?: string
  agent?: string
  /** Part of a title or an id, however it is capitalized. */
  text?: string
  /** Default: newest first. */
  sort?: 'active'
  /** 1 to 500. */
  limit: number
  /** As answered with the page before. */
  cursor?: string
}

/** In the order that was asked for. `next_cursor` is absent on the last page. */
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

/** Tasks and their logs. Each call is one commit and resolves after it. All reject with `store_failed` or `disk_full`. */
export interface TaskStore {
  /** All or none. Throws `task_exists` where an id, or a name in its tenant, is taken (`details`: the ids of those there). */
  create(tasks: readonly NewTask[]): Promise<void>
  /**
   * Appends events (the first has seq = last + 1, else `conflict`) and takes over how the task stands now. As no two writers
   * can both be right about the last, of two that begin a try one is refused. Throws `task_not_found`.
   */
  append(id: string, events: readonly TaskEvent[], stand: TaskStand): Promise<void>
  get(id: string): Promise<TaskRecord | undefined>
  find(key: TaskKey): Promise<TaskRecord | undefined>
  list(query: TaskQuery): Promise<TaskPage>
  /** Those that are not final, or have an open try, oldest first. */
  open(): Promise<TaskRecord[]>
  /** Ids of those that are final, have no open try and have not changed since `before` (RFC 3339), oldest first. */
  over(before: string, limit: number): Promise<string[]>
  /** Takes a task away with its log. An unknown one changes nothing. */
  remove(id: string): Promise<void>
  /** Events with seq > after, oldest first, at most `limit`. Unknown task: none. */
  events(id: string, after: number, limit: number): Promise<TaskEvent[]>
  /** How far the log of a task was told to a registry elsewhere; 0: nothing of it. */
  toldTo(id: string): Promise<number>
  told(id: string, seq: number): Promise<void>
  /** Ids of tasks of which something is not told there yet, oldest first. */
  untold(limit: number): Promise<string[]>
}

export const taskExists = (ids: readonly string[]): ErrandError =>
  new ErrandError(
    'task_exists',
    `There ${ids.length === 1 ? 'is such a task' : 'are such tasks'} already: ${ids.join(', ')}.`,
    {
      hint: 'Give another task_id, or leave it out.',
      details: ids,
    },
  )

export const taskNotFound = (id: string): ErrandError =>
  new ErrandError('task_not_found', `There is no task "${id}".`, {
    hint: 'List yours with: errand task list',
  })

export const taskOutOfOrder = (id: string, expected: number, got: number): ErrandError =>
  new ErrandError('conflict', `Task ${id} is at event ${expected - 1}: event ${got} does not follow.`, {
    hint: 'Something else has changed the task meanwhile; read it again.',
  })

/** Throws `conflict` where the events do not follow one another from `last + 1`. */
export function checkTaskOrder(id: string, last: number, events: readonly TaskEvent[]): void {
  events.forEach(({ seq }, index) => {
    if (seq !== last + 1 + index) throw taskOutOfOrder(id, last + 1 + index, seq)
  })
}

interface TaskPlace {
  created_at: string
  id: string
  /** In the order `active`. */
  rank?: number
}

/** A task's place in the order `active`: the larger comes first. */
export const activeRank = (state: TaskState): number => (state === 'waiting' ? 2 : isFinalTask(state) ? 0 : 1)

/** Throws `bad_request`. */
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
    // Falls through: it is no cursor.
  }
  throw new ErrandError('bad_request', `This is no cursor of such a list of tasks: ${cursor}`, {
    hint: 'Send next_cursor of the page before, unchanged and with the same sort, or none.',
  })
}

/**
 * A query as one for each rank, in order, by creation. A task whose rank falls between two pages may be in both; where it
 * rises it stands before the cursor.
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

/** The page of what was found, in order, where `found` holds one more than the limit if there are more. */
export function taskPage(found: readonly TaskRecord[], { limit, sort }: TaskQuery): TaskPage {
  const tasks = found.slice(0, limit)
  const last = tasks.at(-1)
  if (found.length <= limit || last === undefined) return { tasks }
  const place = [last.created_at, last.id, ...(sort === undefined ? [] : [activeRank(last.state)])]
  return { tasks, next_cursor: Buffer.from(JSON.stringify(place)).toString('base64url') }
}
