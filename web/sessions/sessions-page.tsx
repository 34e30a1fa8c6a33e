import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect, useMemo } from 'react'
import { ApiError } from '../data/api.ts'
import { hubNow } from '../data/clock.ts'
import { filterOfWords, groupOf } from '../data/run-filter.ts'
import { listRuns, type Run, type RunFilter, shownStatus } from '../data/runs.ts'
import { Failure } from '../parts/action-button.tsx'
import { FilterForm } from '../parts/filter-form.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { Took, When } from '../parts/times.tsx'

const statuses = ['running', 'success', 'failed', 'canceled', 'interrupted']

/** Sessions with agents, the newest first, each with its last words. */
export function SessionsPage() {
  const filter = useSearch({ from: '/inside/sessions' })
  const asked: RunFilter = useMemo(() => ({ ...filter, kind: 'agent' }), [filter])
  // The key of the runs' lists: rows change in place as they come.
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ['runs', asked],
    queryFn: ({ pageParam, signal }) => listRuns(asked, pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor }) => next_cursor,
    placeholderData: keepPreviousData,
  })
  useEffect(() => {
    document.title = 'Sessions · Errand'
  }, [])
  const runs = data?.pages.flatMap((page) => page.runs) ?? []
  const asking = runs.filter((run) => shownStatus(run) === 'asks')
  const groups = new Map<string, Run[]>(asking.length > 0 ? [['Needs you', asking]] : [])
  for (const run of runs) {
    if (asking.includes(run)) continue
    const name = groupOf(run, hubNow())
    groups.set(name, [...(groups.get(name) ?? []), run])
  }
  const isFiltered = Object.keys(filter).length > 0
  const move = (event: React.KeyboardEvent) => {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key]
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-run]')
    if (step === undefined || row === null) return
    const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-run]')]
    rows[rows.indexOf(row) + step]?.querySelector('a')?.focus()
    event.preventDefault()
  }
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-5 max-sm:h-14 max-sm:border-0">
        <h1 className="text-page font-semibold max-sm:text-run">Sessions</h1>
        <Link to="/new" search={{ kind: 'agent' }} className="button ml-auto">
          New session
        </Link>
      </header>
      <main className="min-h-0 flex-1 overflow-y-auto pb-20" onKeyDown={move}>
        {(isFiltered || runs.length > 0) && <Filter filter={filter} />}
        {error instanceof ApiError && (
          <div className="mx-5 my-3">
            <Failure error={error} />
          </div>
        )}
        {data !== undefined && runs.length === 0 && <Empty isFiltered={isFiltered} />}
        {[...groups].map(([name, rows]) => (
          <section key={name} aria-label={name}>
            <h2 className="sticky top-0 z-10 bg-surface px-5 pt-4 pb-1.5 text-label font-medium text-ink2">
              {name}
            </h2>
            <ul>
              {rows.map((run) => (
                <Row key={run.run_id} run={run} />
              ))}
            </ul>
          </section>
        ))}
        {hasNextPage && (
          <button
            type="button"
            className="button mx-5 mt-4"
            aria-disabled={isFetchingNextPage}
            onClick={() => fetchNextPage()}
          >
            {isFetchingNextPage ? 'Reading…' : 'More'}
          </button>
        )}
      </main>
    </>
  )
}

const count = (tokens: number): string => (tokens < 1000 ? `${tokens}` : `${(tokens / 1000).toFixed(1)}k`)

function Row({ run }: { run: Run }) {
  const shown = shownStatus(run)
  const { session } = run
  const said =
    shown === 'asks' ? run.now?.question?.text : (session?.last_words ?? run.waiting ?? run.message)
  const used =
    session?.cost_usd !== undefined
      ? `$${session.cost_usd.toFixed(session.cost_usd < 0.1 ? 4 : 2)}`
      : session?.tokens !== undefined
        ? `${count(session.tokens)} tokens`
        : ''
  return (
    <li
      data-run={run.run_id}
      className="relative grid min-h-[52px] grid-cols-[20px_minmax(0,1fr)_minmax(8rem,12rem)_6rem_8.5rem_4.5rem] items-center gap-x-3 border-t border-line px-5 py-1.5 hover:bg-hover max-lg:grid-cols-[20px_minmax(0,1fr)_6rem_4.5rem] max-sm:min-h-16 max-sm:grid-cols-[20px_minmax(0,1fr)_auto]"
    >
      <StatusMark shown={shown} />
      <span className="min-w-0">
        <Link
          to="/runs/$run"
          params={{ run: run.run_id }}
          className="block truncate font-medium after:absolute after:inset-0 max-sm:text-page"
          title={run.workflow_name}
        >
          <bdi>{run.workflow_name}</bdi>
        </Link>
        <span className={`block truncate text-meta ${shown === 'asks' ? 'text-ask' : 'text-ink2'}`}>
          <bdi>{said ?? '–'}</bdi>
        </span>
      </span>
      <span className="min-w-0 text-meta text-ink2 max-lg:hidden">
        <span className="block truncate">
          <bdi>{session?.agent ?? '–'}</bdi>
        </span>
        <span className="block truncate text-label text-ink3">
          <bdi>{session?.model}</bdi>
        </span>
      </span>
      <span className="text-right font-mono text-meta text-ink2 max-sm:hidden">{used}</span>
      <span className="text-right text-meta whitespace-nowrap text-ink2 max-lg:hidden">
        {run.owner}, <When time={run.started_at ?? run.created_at} />
      </span>
      <span className="text-right text-meta text-ink2">
        <Took from={run.started_at} to={run.finished_at} />
      </span>
    </li>
  )
}

function Filter({ filter }: { filter: RunFilter }) {
  const navigate = useNavigate()
  const set = (search: RunFilter) => navigate({ to: '/sessions', search })
  return (
    <FilterForm
      label="Filter: words such as user:ann, or a name or id"
      placeholder="user:ann text…"
      submit={(text) => {
        const { kind: _, workflow: _name, ...words } = filterOfWords(text)
        void set({ ...filter, ...words })
      }}
    >
      <select
        aria-label="status"
        className="field"
        value={filter.status ?? ''}
        onChange={({ target }) => void set({ ...filter, status: target.value })}
      >
        <option value="">any status</option>
        {statuses.map((status) => (
          <option key={status}>{status}</option>
        ))}
      </select>
      {(['user', 'q'] as const).map(
        (name) =>
          filter[name] !== undefined && (
            <button
              key={name}
              type="button"
              className="chip h-7 hover:text-ink"
              title="Drop it"
              onClick={() => void set({ ...filter, [name]: undefined } as RunFilter)}
            >
              <bdi>
                {name === 'q' ? '' : `${name}:`}
                {filter[name]}
              </bdi>
              <span aria-hidden className="ml-1">
                ×
              </span>
            </button>
          ),
      )}
    </FilterForm>
  )
}

function Empty({ isFiltered }: { isFiltered: boolean }) {
  return (
    <div className="flex flex-col items-center gap-3 px-5 pt-24 text-center">
      <h2 className="text-empty font-semibold">
        {isFiltered ? 'No session matches' : 'No agent has worked here yet'}
      </h2>
      {isFiltered ? (
        <Link to="/sessions" search={{}} className="button">
          Drop the filter
        </Link>
      ) : (
        <>
          <p className="text-ink2">Begin one where your machines are:</p>
          <code className="rounded-lg bg-idle px-3 py-2 font-mono text-meta">
            errand agent "Explain this repository" --hub
          </code>
        </>
      )}
    </div>
  )
}
