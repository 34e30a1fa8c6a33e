import { Task, type TaskInput } from '../../../src/contract/tasks/task.ts'
import type { NewTaskEvent, TaskEvent } from '../../../src/contract/tasks/task-log.ts'
import type { TaskSpec } from '../../../src/contract/tasks/task-record.ts'
import { foldTask, type TaskFold } from '../../../src/engine/tasks/evolve-task.ts'

export const time = '2026-01-31T10:00:00.000Z'

export const testTask = (given: Partial<TaskInput> = {}): Task =>
  Task.parse({ title: 'mend it', repo_url: 'https://git.example/shop/web', ...given })

/** The last character of the id is the name's. */
export function testTaskSpec(
  name: string,
  given: Partial<TaskSpec> & { ask?: Partial<TaskInput> } = {},
): TaskSpec {
  const { ask, ...rest } = given
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

/** As events of a log, from this seq on. */
export const asLog = (events: readonly NewTaskEvent[], from = 1): TaskEvent[] =>
  events.map((event, index): TaskEvent => ({ ...event, seq: from + index, time }))

export const created: NewTaskEvent = { type: 'task.created', title: 'mend it' }

/** The state after a log that begins with the making of the task. */
export const foldOf = (...events: readonly NewTaskEvent[]): TaskFold => foldTask(asLog([created, ...events]))
