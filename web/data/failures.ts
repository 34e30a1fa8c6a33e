import { type QueryClient, queryOptions } from '@tanstack/react-query'
import { ask } from './api.ts'
import type { Run } from './runs.ts'

interface Failures {
  runs: Run[]
  more: boolean
  /** Marked here, so that a row which comes later is not news again. */
  marked?: readonly string[]
}

/** The person's own runs that failed and that they have not looked at, on whatever device. */
export const failuresQuery = queryOptions({
  queryKey: ['failures'],
  queryFn: ({ signal }) => ask<Failures>('GET', '/api/me/failures', { signal }),
  // Seen on the phone is seen here, once one comes back to this page.
  refetchOnWindowFocus: 'always',
})

const isFailure = ({ status, finished_at }: Run) =>
  (status === 'failed' || status === 'interrupted') && finished_at !== undefined

/** Takes in a run that has changed: a failure comes first, and a newer try goes before those of before. */
export function keepFailure(client: QueryClient, run: Run, me: string | undefined): void {
  client.setQueryData(failuresQuery.queryKey, (before) => {
    if (before === undefined || run.owner !== me || run.parent_run_id !== undefined) return before
    const first = run.first_run ?? run.run_id
    const others = before.runs.filter(
      (one) =>
        one.run_id !== run.run_id &&
        !((one.first_run ?? one.run_id) === first && (one.try ?? 1) < (run.try ?? 1)),
    )
    const isNewest = (run.tries ?? 1) <= (run.try ?? 1)
    const isNews = isFailure(run) && isNewest && before.marked?.includes(run.run_id) !== true
    if (!isNews && others.length === before.runs.length) return before
    return { ...before, runs: isNews ? [run, ...others] : others }
  })
}

/** Takes these away, and tells the hub, which is asked again where that fails. */
export async function markSeen(client: QueryClient, which: { run_ids: string[] } | { until: string }) {
  client.setQueryData(failuresQuery.queryKey, (before) => {
    if (before === undefined) return before
    const ids = 'run_ids' in which ? which.run_ids : before.runs.map(({ run_id }) => run_id)
    const runs = before.runs.filter(({ run_id }) => !ids.includes(run_id))
    return { runs, more: before.more && 'run_ids' in which, marked: [...(before.marked ?? []), ...ids] }
  })
  try {
    await ask('POST', '/api/me/seen', { body: which })
  } finally {
    if (client.getQueryData(failuresQuery.queryKey)?.runs.length === 0)
      void client.invalidateQueries({ queryKey: failuresQuery.queryKey })
  }
}
