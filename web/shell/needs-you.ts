import {
  type InfiniteData,
  type QueryClient,
  queryOptions,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query'
import { useRouterState } from '@tanstack/react-router'
import { useEffect } from 'react'
import { askedByOthers, mayAnswer } from '../data/approvals.ts'
import { failuresQuery, keepFailure, markSeen } from '../data/failures.ts'
import { liveRuns } from '../data/live.ts'
import { fits } from '../data/run-filter.ts'
import { listRuns, type Run, type RunFilter, type RunPage } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'

/** Open runs: of these some wait for a person's answer. */
const openRuns = queryOptions({
  queryKey: ['open-runs'],
  queryFn: ({ signal }) => listRuns({ status: 'queued,running' }, undefined, signal),
  staleTime: Number.POSITIVE_INFINITY,
})

const asks = (run: Run) =>
  run.now?.question !== undefined && (run.status === 'running' || run.status === 'queued')

/** Runs that wait for a person, those with the shortest time first. */
export function useNeedsYou(): Run[] {
  const { data } = useQuery(openRuns)
  const { data: asked } = useQuery(askedByOthers)
  const { data: me } = useQuery(meQuery)
  const expiry = (run: Run) => run.now?.question?.expires_at ?? '9999'
  const mine = (run: Run) =>
    me === undefined ||
    run.now?.question?.kind !== 'approval' ||
    mayAnswer(run.now.question.approvers, me, run.owner)
  const own = (data?.runs ?? []).filter(asks)
  const others = (asked?.runs ?? []).filter(
    (run) => asks(run) && !own.some(({ run_id }) => run_id === run.run_id),
  )
  return [...own, ...others].filter(mine).sort((a, b) => expiry(a).localeCompare(expiry(b)))
}

/** Failures since the person looked, that of the latest end first. */
export const useFailures = (): readonly Run[] => useQuery(failuresQuery).data?.runs ?? none
const none: readonly Run[] = []

/** Whoever opens a run has seen its failure. */
export function useSeenWhenOpened(): void {
  const client = useQueryClient()
  const failures = useFailures()
  const open = useRouterState({
    select: ({ location }) => /\/runs\/([^/]+)$/.exec(location.pathname)?.[1],
  })
  useEffect(() => {
    const look = () => {
      if (document.hidden || !failures.some(({ run_id }) => run_id === open)) return
      markSeen(client, { run_ids: [open!] }).catch(() => {})
    }
    look()
    document.addEventListener('visibilitychange', look)
    return () => document.removeEventListener('visibilitychange', look)
  }, [client, failures, open])
}

const isOpen = ({ status }: Run) => status === 'queued' || status === 'running'

/** What was created later is new; in another order than by creation the first row is not the newest. */
const newestOf = ({ sort }: RunFilter, { pages }: InfiniteData<RunPage>): string =>
  (sort === undefined ? (pages[0]?.runs.slice(0, 1) ?? []) : pages.flatMap(({ runs }) => runs)).reduce(
    (newest, { created_at }) => (created_at > newest ? created_at : newest),
    '',
  )

const withoutTriesBefore =
  ({ run_id, first_run }: Run) =>
  (page: RunPage): RunPage => ({
    ...page,
    runs: page.runs.filter((one) => one.run_id === run_id || (one.first_run ?? one.run_id) !== first_run),
  })

/** Puts each run that changes where it is shown: rows change in place, new ones come first. */
export function keepRunsLive(client: QueryClient): () => void {
  const changed = (run: Run) => {
    keepFailure(client, run, client.getQueryData(meQuery.queryKey)?.name)
    client.setQueryData<RunPage>(openRuns.queryKey, (page) => {
      if (page === undefined) return page
      const others = page.runs.filter(({ run_id }) => run_id !== run.run_id)
      return { ...page, runs: isOpen(run) ? [run, ...others] : others }
    })
    for (const [key] of client.getQueriesData({ queryKey: ['runs'] })) {
      const filter = key[1] as RunFilter
      client.setQueryData<InfiniteData<RunPage>>(key, (data) => {
        if (data === undefined) return data
        const isThere = data.pages.some(({ runs }) => runs.some(({ run_id }) => run_id === run.run_id))
        if (isThere)
          return {
            ...data,
            pages: data.pages.map((page) => ({
              ...page,
              runs: page.runs.map((one) => (one.run_id === run.run_id ? run : one)),
            })),
          }
        const [first, ...more] = data.pages
        if (first === undefined || run.created_at < newestOf(filter, data) || !fits(run, filter)) return data
        const pages = [{ ...first, runs: [run, ...first.runs] }, ...more]
        return { ...data, pages: filter.latest === undefined ? pages : pages.map(withoutTriesBefore(run)) }
      })
    }
  }
  const reset = () => {
    void client.invalidateQueries({ queryKey: ['runs'] })
    void client.invalidateQueries({ queryKey: ['open-runs'] })
    void client.invalidateQueries({ queryKey: failuresQuery.queryKey })
    void client.invalidateQueries({ queryKey: askedByOthers.queryKey })
  }
  const asking = (run: Run) =>
    client.setQueryData(askedByOthers.queryKey, (before) => {
      if (before === undefined) return before
      const others = before.runs.filter(({ run_id }) => run_id !== run.run_id)
      return { runs: isOpen(run) ? [run, ...others] : others }
    })
  return liveRuns.read(changed, reset, asking)
}
