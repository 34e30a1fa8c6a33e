import { type InfiniteData, type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { type TaskFilter, taskFits } from '../task-filter.ts'
import { isOverTask, type Task, type TaskPage, taskStates, type WholeTask } from '../tasks.ts'
import { LateChanges } from './late-changes.ts'
import { liveRuns } from './live.ts'

/** Whether a task that was in the list of a filter still is. A word that only the hub knows takes none out of it. */
function maybeIn({ state }: Task, filter: TaskFilter): boolean {
  const words = filter.state?.split(',') ?? []
  return words.length === 0 || words.some((word) => word === state || !taskStates.some((one) => one === word))
}

const rank = ({ state }: Task) => (state === 'waiting' ? 2 : isOverTask(state) ? 0 : 1)

/** Whether a task stands before the end of what is loaded, in the order of lists. */
function isWithin(task: Task, { pages }: InfiniteData<TaskPage>): boolean {
  const { tasks, next_cursor } = pages.at(-1)!
  const last = tasks.at(-1)
  if (next_cursor === undefined || last === undefined) return true
  return rank(task) === rank(last) ? task.created_at > last.created_at : rank(task) > rank(last)
}

/** Puts a task that has changed where lists show it: rows change in place, new ones come first. */
function changed(client: QueryClient, task: Task): void {
  for (const [key] of client.getQueriesData({ queryKey: ['tasks'] })) {
    const filter = key[1] as TaskFilter
    client.setQueryData<InfiniteData<TaskPage>>(key, (data) => {
      if (data === undefined) return data
      const isThere = data.pages.some(({ tasks }) => tasks.some(({ id }) => id === task.id))
      // All else that a filter asks for never changes, and the hub knows more words for it.
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
 * Follows all tasks while a page shows some: lists change in place, and a task that is open on the page, with what it has
 * kept, is read anew. After a break all of it is.
 */
export function useLiveTasks(): void {
  const client = useQueryClient()
  useEffect(() => {
    const again = (id?: string) => {
      // An address may have called the task by its own name.
      void client.invalidateQueries({
        queryKey: ['task'],
        predicate: ({ state }) => id === undefined || (state.data as WholeTask | undefined)?.id === id,
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
    // What was read before is old: nobody has followed it meanwhile. What is being read now is not.
    for (const key of ['tasks', 'task', 'task-artifacts'])
      void client.invalidateQueries({ queryKey: [key] }, { cancelRefetch: false })
    return () => {
      stop()
      late.stop()
    }
  }, [client])
}
