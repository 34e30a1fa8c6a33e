import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { useEffect, useMemo, useRef, useState } from 'react'
import { ApiError } from '../data/api.ts'
import { hubNow } from '../data/clock.ts'
import { groupOf } from '../data/run-filter.ts'
import { cancelRun, listRuns, type Run, retryRun } from '../data/runs.ts'
import { Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { ConnectionDot } from '../shell/connection.tsx'
import { useNeedsYou } from '../shell/needs-you.ts'
import { FilterLine } from './filter-line.tsx'
import { NeedsYou } from './needs-you-list.tsx'
import { RunRow } from './run-row.tsx'

/** Rows in groups. While a pointer is in the list each stays where it was, and what is newer waits. */
function useGroups(runs: readonly Run[], held: boolean, scope: string): Map<string, Run[]> {
  const kept = useRef({ scope: '', newest: '', groups: new Map<string, string>() })
  return useMemo(() => {
    if (!held || kept.current.scope !== scope)
      kept.current = { scope, newest: runs[0]?.created_at ?? '', groups: new Map() }
    const { newest, groups: names } = kept.current
    const groups = new Map<string, Run[]>([['Going on', []]])
    for (const run of runs) {
      if (!names.has(run.run_id)) {
        if (held && run.created_at > newest) continue
        names.set(run.run_id, groupOf(run, hubNow()))
      }
      const name = names.get(run.run_id)!
      const rows = groups.get(name)
      if (rows === undefined) groups.set(name, [run])
      else rows.push(run)
    }
    if (groups.get('Going on')!.length === 0) groups.delete('Going on')
    return groups
  }, [runs, held, scope])
}

export function RunsPage() {
  const filter = useSearch({ from: '/inside/runs' })
  const navigate = useNavigate()
  const [hovered, setHovered] = useState(false)
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set())
  const [confirming, setConfirming] = useState(false)
  const needsYou = useNeedsYou()
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ['runs', filter],
    queryFn: ({ pageParam, signal }) => listRuns(filter, pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor }) => next_cursor,
    placeholderData: keepPreviousData,
  })
  const runs = useMemo(() => data?.pages.flatMap((page) => page.runs) ?? [], [data])
  const groups = useGroups(runs, hovered, JSON.stringify(filter))
  const shown = [...groups.values()].reduce((sum, rows) => sum + rows.length, 0)
  const waiting = runs.length - shown
  useEffect(() => {
    document.title = `${needsYou.length > 0 ? `(${needsYou.length}) ` : ''}Runs · Errand`
  }, [needsYou.length])
  useEffect(() => {
    const press = ({ key }: KeyboardEvent) => {
      if (key === 'Escape' && document.querySelector('dialog[open]') === null) setMarked(new Set())
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])

  const chosen = runs.filter(({ run_id }) => marked.has(run_id))
  const open = chosen.filter(({ status }) => status === 'running' || status === 'queued')
  const again = chosen.filter(({ status }) => ['failed', 'canceled', 'interrupted'].includes(status))
  const isFiltered = Object.keys(filter).length > 0
  const mark = (id: string) => {
    const next = new Set(marked)
    if (!next.delete(id)) next.add(id)
    setMarked(next)
  }
  const move = (event: React.KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-run]')
    if (row === null || event.target instanceof HTMLInputElement) return
    const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-run]')]
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key]
    if (step !== undefined) rows[rows.indexOf(row) + step]?.querySelector('a')?.focus()
    else if (event.key === 'x') mark(row.dataset.run!)
    else return
    event.preventDefault()
  }
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-5 max-sm:border-0">
        <h1 className="text-page font-semibold max-sm:text-run">Runs</h1>
        <span className="text-meta text-ink2">
          <ConnectionDot word={false} />
        </span>
      </header>
      <main className="min-h-0 flex-1 overflow-y-auto pb-20">
        <NeedsYou runs={needsYou} />
        {(isFiltered || runs.length > 0) && <FilterLine filter={filter} />}
        {error instanceof ApiError && (
          <div className="mx-5 my-3">
            <Failure error={error} />
          </div>
        )}
        {data !== undefined && runs.length === 0 && (isFiltered ? <NoMatch /> : <Empty />)}
        {waiting > 0 && (
          <button type="button" className="button mx-5 mb-2" onClick={() => setHovered(false)}>
            {waiting} new {waiting === 1 ? 'run' : 'runs'}
          </button>
        )}
        {shown > 0 && (
          // biome-ignore lint/a11y/noStaticElementInteractions: keys move between the links of its rows
          <div
            data-routes={runs.some(({ route }) => route !== undefined) || undefined}
            className="group/list"
            onPointerEnter={({ pointerType }) => pointerType === 'mouse' && setHovered(true)}
            onPointerLeave={() => setHovered(false)}
            onKeyDown={move}
          >
            <div
              aria-hidden="true"
              className="grid grid-cols-(--run-columns) items-center gap-x-3 px-5 py-1 text-label text-ink2 max-sm:hidden"
            >
              <span />
              <span>Name</span>
              <span className="hidden md:group-data-routes/list:block">Route</span>
              <span className="max-lg:hidden">Now</span>
              <span className="max-lg:hidden">Who</span>
              <span className="text-right max-md:hidden">Started</span>
              <span className="text-right">Took</span>
            </div>
            {[...groups].map(([name, rows]) => (
              <section key={name} aria-label={name}>
                <h2 className="flex gap-2 px-5 pt-3 pb-1.5 text-label font-normal text-ink2">
                  {name} <span className="text-ink3">{rows.length}</span>
                </h2>
                <ul>
                  {rows.map((run) => (
                    <RunRow key={run.run_id} run={run} marked={marked.has(run.run_id)} mark={mark} />
                  ))}
                </ul>
              </section>
            ))}
          </div>
        )}
        {hasNextPage && (
          <div className="flex justify-center p-4">
            <button
              type="button"
              className="button"
              aria-disabled={isFetchingNextPage}
              onClick={() => fetchNextPage()}
            >
              {isFetchingNextPage ? 'Loading…' : 'Older runs'}
            </button>
          </div>
        )}
      </main>
      {chosen.length > 0 && (
        <div
          className="fixed bottom-6 left-1/2 z-30 flex -translate-x-1/2 items-center gap-2 rounded-xl border border-line bg-raised px-3 py-2 max-sm:bottom-20 max-sm:w-[calc(100vw-1rem)] max-sm:flex-wrap"
          style={{ boxShadow: 'var(--float)' }}
        >
          <span className="px-1 font-medium">{chosen.length} selected</span>
          {again.length > 0 && (
            <button
              type="button"
              className="button"
              onClick={async () => {
                const results = await Promise.allSettled(
                  again.map(({ run_id }) => retryRun(run_id, 'failed', `page-retry-${run_id}`)),
                )
                const refused = again.filter((_, index) => results[index]!.status === 'rejected')
                setMarked(new Set(refused.map(({ run_id }) => run_id)))
              }}
            >
              Retry {again.length} failed
            </button>
          )}
          {open.length > 0 && (
            <button type="button" className="button button-quiet-bad" onClick={() => setConfirming(true)}>
              Cancel {open.length}…
            </button>
          )}
          <button type="button" className="button button-plain" onClick={() => setMarked(new Set())}>
            Clear <kbd className="key max-sm:hidden">Esc</kbd>
          </button>
        </div>
      )}
      {confirming && (
        <Confirm
          title={`Cancel ${open.length} ${open.length === 1 ? 'run' : 'runs'}?`}
          keep="Keep running"
          verb={`Cancel ${open.length} ${open.length === 1 ? 'run' : 'runs'}`}
          doing="Canceling…"
          close={() => setConfirming(false)}
          act={async () => {
            const results = await Promise.allSettled(open.map(({ run_id }) => cancelRun(run_id)))
            const refused = results.find((one) => one.status === 'rejected')
            // One that has ended in between needs no cancel any more.
            if (refused !== undefined && (refused.reason as ApiError).code !== 'run_ended')
              throw refused.reason
            setMarked(new Set())
          }}
        >
          {open.filter(({ status }) => status === 'running').length} are running and are ended,{' '}
          {open.filter(({ status }) => status === 'queued').length} never start.
        </Confirm>
      )}
    </>
  )

  function NoMatch() {
    return (
      <div className="flex flex-col items-center gap-3 px-5 py-24">
        <p className="text-empty font-semibold">No run matches</p>
        <button type="button" className="button" onClick={() => navigate({ to: '/runs', search: {} })}>
          Drop the filter
        </button>
      </div>
    )
  }
}

function Empty() {
  return (
    <div className="flex flex-col items-center px-5 py-24 text-center">
      <svg
        aria-hidden="true"
        width="320"
        height="28"
        viewBox="0 0 320 28"
        fill="none"
        className="mb-8 max-w-full"
      >
        <path d="M10 14H158" stroke="var(--ink3)" strokeWidth="2" />
        <path
          d="M162 14H310"
          stroke="var(--line2)"
          strokeWidth="2"
          strokeDasharray="1 6"
          strokeLinecap="round"
        />
        <circle cx="10" cy="14" r="8" fill="var(--ok)" />
        <path d="M6.5 14.3 9 16.8 13.6 11.6" stroke="var(--surface)" strokeWidth="1.9" />
        <circle cx="160" cy="14" r="9.5" fill="var(--surface)" stroke="var(--accent)" strokeWidth="2.4" />
        <circle cx="160" cy="14" r="4" fill="var(--accent)" />
        <circle cx="310" cy="14" r="6" fill="var(--surface)" stroke="var(--line2)" strokeWidth="2" />
      </svg>
      <p className="mb-1 text-empty font-semibold">Nothing has run here yet</p>
      <p className="mb-6 text-ink2">Paste a workflow, press run, and watch it here.</p>
      <Link to="/new" className="button button-main">
        <Play size={14} strokeWidth={1.75} aria-hidden /> Run the example
      </Link>
      <p className="mt-6 text-meta text-ink2">
        or from a shell: <code className="font-mono">errand run hello.yaml</code>
      </p>
    </div>
  )
}
