import { Task, type TaskInput } from '../../../src/contract/tasks/task.ts'
import type { NewTaskEvent, TaskEvent } from '../../../src/contract/tasks/task-log.ts'
import type { TaskSpec } from '../../../src/contract/tasks/task-record.ts'
import { foldTask, type TaskFold } from '../../../src/engine/tasks/evolve-task.ts'

export const time = '2026-01-31T10:00:00.000Z'

export const testTask = (overrides: Partial<TaskInput> = {}): Task =>
  Task.parse({ title: 'mend it', repo_url: 'https://git.example/shop/web', ...overrides })

/** Returns a task's spec. The last character of its id is that of the name. */
export function testTaskSpec(
  name: string,
  overrides: Partial<TaskSpec> & { ask?: Partial<TaskInput> } = {},
): TaskSpec {
  const { ask, ...rest } = overrides
  const task = testTask({ task_id: name, ...ask })
  return {
    id: `task_${name.padStart(20, '0')}`,
    tenant: 'default',
    owner: 'ada',
    spec_name: task.spec_name,
    own_id: name,
    title: task.title,
    repo: 'https://git.example/shop/web',
    task,
    depends_on: [],
    priority: task.priority,
    created_at: time,
    ...rest,
  }
}

/** Returns the events as events of a log, starting at this seq. */
export const asLog = (events: readonly NewTaskEvent[], from = 1): TaskEvent[] =>
  events.map((event, index): TaskEvent => ({ ...event, seq: from + index, time }))

export const created: NewTaskEvent = { type: 'task.created', title: 'mend it' }

/** Returns the state of a log that begins with the creation of the task. */
export const foldOf = (...events: readonly NewTaskEvent[]): TaskFold => foldTask(asLog([created, ...events]))
