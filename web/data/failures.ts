import { type QueryClient, queryOptions } from '@tanstack/react-query'
import { ask, request } from './api.ts'
import type { Run } from './runs.ts'

interface Failures {
  runs: Run[]
  more: boolean
  /** Ids of runs marked as seen on this page; a row of theirs that arrives later does not count as news again. */
  marked?: readonly string[]
  /** When the hub answered, by the hub's clock. */
  answeredMs: number
}

/** Maximum number of failures that the hub lists. */
const MOST_FAILURES = 100
/** Maximum number of runs that the hub marks per request. */
const MOST_AT_ONCE = 500
/** Tolerance in ms: the hub's `Date` has whole seconds and is set after the hub has read the list. */
const UNSURE_MS = 2000

/** Lists the person's own failed runs that they have not looked at on any device. */
export const failuresQuery = queryOptions({
  queryKey: ['failures'],
  queryFn: async ({ signal }): Promise<Failures> => {
    const response = await request('GET', '/api/me/failures', { query: { limit: MOST_FAILURES }, signal })
    const answeredMs = Date.parse(response.headers.get('date') ?? '') || 0
    return { ...((await response.json()) as Pick<Failures, 'runs' | 'more'>), answeredMs }
  },
  // Failures seen on the phone also count as seen here, once the person returns to this page.
  refetchOnWindowFocus: 'always',
})

const isFailure = ({ status, finished_at }: Run) =>
  (status === 'failed' || status === 'interrupted') && finished_at !== undefined

/**
 * Updates the failures with a run that has changed: a new failure comes first and replaces older tries of the same
 * run. The stream begins with changes from before it was opened; a failure from that time which the hub did not list
 * has already been seen.
 */
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
    const isListed = before.runs.some(({ run_id }) => run_id === run.run_id)
    const isOld = Date.parse(run.finished_at ?? '') < before.answeredMs - UNSURE_MS
    const isMarked = before.marked?.includes(run.run_id) === true
    const isNews = isFailure(run) && isNewest && !isMarked && (isListed || !isOld)
    if (!isNews && others.length === before.runs.length) return before
    return { ...before, runs: isNews ? [run, ...others] : others }
  })
}

/** Removes these failures and marks them as seen at the hub. Once none is left, it reads the list again. */
export async function markSeen(client: QueryClient, which: { run_ids: string[] } | { until: string }) {
  client.setQueryData(failuresQuery.queryKey, (before) => {
    if (before === undefined) return before
    const ids = 'run_ids' in which ? which.run_ids : before.runs.map(({ run_id }) => run_id)
    const runs = before.runs.filter(({ run_id }) => !ids.includes(run_id))
    const marked = [...(before.marked ?? []), ...ids]
    return { ...before, runs, more: before.more && 'run_ids' in which, marked }
  })
  try {
    if ('until' in which) await ask('POST', '/api/me/seen', { body: which })
    else
      for (let at = 0; at < which.run_ids.length; at += MOST_AT_ONCE)
        await ask('POST', '/api/me/seen', { body: { run_ids: which.run_ids.slice(at, at + MOST_AT_ONCE) } })
  } finally {
    if (client.getQueryData(failuresQuery.queryKey)?.runs.length === 0)
      void client.invalidateQueries({ queryKey: failuresQuery.queryKey })
  }
}
