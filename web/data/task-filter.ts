import type { TaskSummary } from '../../src/contract/tasks/task-api.ts'

/** A filter of tasks, as in the page's address. */
export interface TaskFilter {
  state?: string
  repo?: string
  agent?: string
  user?: string
  q?: string
}

const names = ['state', 'repo', 'agent', 'user', 'q'] as const

export function taskFilterOf(search: Record<string, unknown>): TaskFilter {
  const filters = names.flatMap((name) => {
    const value = search[name]
    return typeof value === 'string' && value !== '' ? [[name, value]] : []
  })
  return Object.fromEntries(filters)
}

/** Reads a filter from words such as `state:running agent:codex`; all other words search titles and ids. */
export function taskFilterOfWords(text: string): TaskFilter {
  const filter: Record<string, string> = {}
  const rest: string[] = []
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    const [, name, value] = /^(state|repo|agent|user):(.+)$/.exec(word) ?? []
    if (name === undefined) rest.push(word)
    else filter[name] = value!
  }
  return rest.length > 0 ? { ...filter, q: rest.join(' ') } : filter
}

/** Reports whether a changed task belongs in the list of this filter. The filter writes a repository as lists do. */
export function taskFits(
  task: Pick<TaskSummary, 'state' | 'repo' | 'agent' | 'owner' | 'title' | 'task_id' | 'id'>,
  { state, repo, agent, user, q }: TaskFilter,
): boolean {
  const text = q?.toLowerCase() ?? ''
  return (
    (state === undefined || state.split(',').includes(task.state)) &&
    (repo === undefined || repo === task.repo) &&
    (agent === undefined || agent === task.agent) &&
    (user === undefined || user === task.owner) &&
    [task.title, task.task_id, task.id].some((one) => one.toLowerCase().includes(text))
  )
}
