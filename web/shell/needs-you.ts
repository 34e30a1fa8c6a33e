import {
  type InfiniteData,
  type QueryClient,
  queryOptions,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query'
import { useEffect } from 'react'
import { mayAnswer, othersQuestions } from '../data/approvals.ts'
import { failuresQuery, keepFailure, markSeen } from '../data/failures.ts'
import { LateChanges } from '../data/live/late-changes.ts'
import { liveRuns } from '../data/live/live.ts'
import { fits } from '../data/run-filter.ts'
import { listRuns, type Run, type RunFilter, type RunPage } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'
import { usePath } from '../navigation/navigation.tsx'
import { newestOf } from '../parts/rows/row-groups.ts'

/** Lists the open runs, some of which wait for a person's answer. */
const openRuns = queryOptions({
  queryKey: ['open-runs'],
  queryFn: ({ signal }) => listRuns({ status: 'queued,running' }, undefined, signal),
  staleTime: Number.POSITIVE_INFINITY,
})

const isAsking = (run: Run) =>
  run.now?.question !== undefined && (run.status === 'running' || run.status === 'queued')

/** Selects the asking runs; equal if the same ones ask, so that other changes cause no render. */
const askingOf = ({ runs }: RunPage) => runs.filter(isAsking)

/** Returns the runs that wait for a person, those with the least time left first. */
export function useNeedsYou(): Run[] {
  const { data } = useQuery({ ...openRuns, select: askingOf })
  const { data: questions } = useQuery(othersQuestions)
  const { data: me } = useQuery(meQuery)
  const expiry = (run: Run) => run.now?.question?.expires_at ?? '9999'
  const mine = (run: Run) =>
    me === undefined ||
    run.now?.question?.kind !== 'approval' ||
    mayAnswer(run.now.question.approvers, me, run.owner)
  const own = data ?? []
  const others = (questions?.runs ?? []).filter(
    (run) => isAsking(run) && !own.some(({ run_id }) => run_id === run.run_id),
  )
  return [...own, ...others].filter(mine).sort((a, b) => expiry(a).localeCompare(expiry(b)))
}

/** Returns the failures since the person last looked, the latest end first. */
export const useFailures = (): readonly Run[] => useQuery(failuresQuery).data?.runs ?? none
const none: readonly Run[] = []

/** Marks a failure as seen when the person opens its run. */
export function useSeenWhenOpened(): void {
  const client = useQueryClient()
  const failures = useFailures()
  const open = /^\/runs\/([^/]+)$/.exec(usePath())?.[1]
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

const withoutTriesBefore =
  ({ run_id, first_run }: Run) =>
  (page: RunPage): RunPage => ({
    ...page,
    runs: page.runs.filter((one) => one.run_id === run_id || (one.first_run ?? one.run_id) !== first_run),
  })

const withOpen = (runs: readonly Run[], run: Run): Run[] => {
  const others = runs.filter(({ run_id }) => run_id !== run.run_id)
  return isOpen(run) ? [run, ...others] : others
}

/**
 * Returns a list updated with changed runs: known ones in their places, new ones first, without those no longer
 * visible.
 */
function withChanged(
  data: InfiniteData<RunPage>,
  changed: ReadonlyMap<string, Run | undefined>,
  filter: RunFilter,
): InfiniteData<RunPage> {
  const there = new Set(data.pages.flatMap(({ runs }) => runs.map(({ run_id }) => run_id)))
  let list = data
  if ([...changed.keys()].some((id) => there.has(id))) {
    const inPlace = (page: RunPage) => ({
      ...page,
      runs: page.runs.flatMap((one) => (changed.has(one.run_id) ? (changed.get(one.run_id) ?? []) : one)),
    })
    list = { ...data, pages: data.pages.map(inPlace) }
  }
  let newest: string | undefined
  for (const run of changed.values()) {
    const [first, ...more] = list.pages
    if (run === undefined || there.has(run.run_id) || first === undefined) continue
    // A run is new if it was created after all listed ones.
    newest ??= newestOf(list.pages.flatMap(({ runs }) => runs))
    if (run.created_at < newest || !fits(run, filter)) continue
    newest = run.created_at
    const pages = [{ ...first, runs: [run, ...first.runs] }, ...more]
    list = { ...list, pages: filter.latest === undefined ? pages : pages.map(withoutTriesBefore(run)) }
  }
  return list
}

/**
 * Updates the lists with changed runs once per frame: known rows change in place, new ones come first. A hidden page
 * only counts the runs that need the person; the rest waits until it is shown.
 */
export function keepRunsLive(client: QueryClient): () => void {
  const pending = new Map<string, Run>()
  /** Runs of others; undefined if the run is no longer shared. */
  const shared = new Map<string, Run | undefined>()
  let frame: number | undefined
  const toOpen = (all: Iterable<Run>) =>
    client.setQueryData<RunPage>(openRuns.queryKey, (page) => {
      if (page === undefined) return page
      let { runs } = page
      for (const run of all) runs = withOpen(runs, run)
      return { ...page, runs }
    })
  const show = () => {
    frame = undefined
    if (document.hidden) return
    const changed = new Map(pending)
    const changedShared = new Map(shared)
    pending.clear()
    shared.clear()
    toOpen(changed.values())
    for (const [key] of client.getQueriesData({ queryKey: ['runs'] })) {
      const filter = key[1] as RunFilter
      client.setQueryData<InfiniteData<RunPage>>(
        key,
        (data) => data && withChanged(data, filter.shared ? changedShared : changed, filter),
      )
    }
  }
  const soon = () => {
    if (!document.hidden && pending.size + shared.size > 0) frame ??= requestAnimationFrame(show)
  }
  const late = new LateChanges(client, ['runs', 'open-runs', 'failures'])
  const changed = (run: Run) =>
    late.take(run.run_id, () => {
      keepFailure(client, run, client.getQueryData(meQuery.queryKey)?.name)
      pending.delete(run.run_id)
      pending.set(run.run_id, run)
      if (document.hidden) toOpen([run])
      soon()
    })
  const reset = () => {
    void client.invalidateQueries({ queryKey: ['runs'] })
    void client.invalidateQueries({ queryKey: ['open-runs'] })
    void client.invalidateQueries({ queryKey: failuresQuery.queryKey })
    void client.invalidateQueries({ queryKey: othersQuestions.queryKey })
  }
  const asking = (run: Run) =>
    client.setQueryData(othersQuestions.queryKey, (before) => {
      if (before === undefined) return before
      return { runs: withOpen(before.runs, run) }
    })
  const stop = liveRuns.read(changed, reset, asking)
  const stopShared = liveRuns.readShared((json, kind) => {
    const run = JSON.parse(json) as Run
    late.take(`${run.run_id}, shared`, () => {
      shared.set(run.run_id, kind === 'shared' ? run : undefined)
      soon()
    })
  })
  document.addEventListener('visibilitychange', soon)
  return () => {
    stop()
    stopShared()
    late.stop()
    document.removeEventListener('visibilitychange', soon)
    if (frame !== undefined) cancelAnimationFrame(frame)
  }
}
