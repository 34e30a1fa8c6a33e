import { type InfiniteData, type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { type TaskFilter, taskFits } from '../task-filter.ts'
import { isOverTask, type Task, type TaskDetail, type TaskPage, taskStates } from '../tasks.ts'
import { LateChanges } from './late-changes.ts'
import { liveRuns } from './live.ts'

/** Reports whether a listed task still fits the filter. States that only the hub knows remove no task. */
function maybeIn({ state }: Task, filter: TaskFilter): boolean {
  const words = filter.state?.split(',') ?? []
  return words.length === 0 || words.some((word) => word === state || !taskStates.some((one) => one === word))
}

const rank = ({ state }: Task) => (state === 'waiting' ? 2 : isOverTask(state) ? 0 : 1)

/** Reports whether a task sorts before the end of the loaded pages. */
function isWithin(task: Task, { pages }: InfiniteData<TaskPage>): boolean {
  const { tasks, next_cursor } = pages.at(-1)!
  const last = tasks.at(-1)
  if (next_cursor === undefined || last === undefined) return true
  return rank(task) === rank(last) ? task.created_at > last.created_at : rank(task) > rank(last)
}

/** Updates a changed task in the lists: known rows change in place, new ones come first. */
function changed(client: QueryClient, task: Task): void {
  for (const [key] of client.getQueriesData({ queryKey: ['tasks'] })) {
    const filter = key[1] as TaskFilter
    client.setQueryData<InfiniteData<TaskPage>>(key, (data) => {
      if (data === undefined) return data
      const isThere = data.pages.some(({ tasks }) => tasks.some(({ id }) => id === task.id))
      // The other parts of a filter never change for a task, and the hub may accept more words for them.
      const stays = maybeIn(task, filter)
      if (isThere)
        return {
          ...data,
          pages: data.pages.map((page) => ({
            ...page,
            tasks: page.tasks.flatMap((one) => (one.id !== task.id ? [one] : stays ? [task] : [])),
          })),
        }
      const [first, ...more] = data.pages
      if (first === undefined || !taskFits(task, filter) || !isWithin(task, data)) return data
      return { ...data, pages: [{ ...first, tasks: [task, ...first.tasks] }, ...more] }
    })
  }
}

/**
 * Follows all tasks while a page shows some. Lists change in place; an open task and its artifacts are read again.
 * After a break, all of them are read again.
 */
export function useLiveTasks(): void {
  const client = useQueryClient()
  useEffect(() => {
    const again = (id?: string) => {
      // The page's address may name the task by a name of its own.
      void client.invalidateQueries({
        queryKey: ['task'],
        predicate: ({ state }) => id === undefined || (state.data as TaskDetail | undefined)?.id === id,
      })
      void client.invalidateQueries({
        queryKey: id === undefined ? ['task-artifacts'] : ['task-artifacts', id],
      })
    }
    const all = () => {
      void client.invalidateQueries({ queryKey: ['tasks'] })
      again()
    }
    const late = new LateChanges(client, ['tasks'])
    const stop = liveRuns.followTasks((json) => {
      const task = JSON.parse(json) as Task
      late.take(task.id, () => changed(client, task))
      again(task.id)
    }, all)
    // Data read earlier is outdated, since nobody followed the changes meanwhile. Reads under way are up to date.
    for (const key of ['tasks', 'task', 'task-artifacts'])
      void client.invalidateQueries({ queryKey: [key] }, { cancelRefetch: false })
    return () => {
      stop()
      late.stop()
    }
  }, [client])
}
