import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { ArrowDown, ArrowUp } from 'lucide-react'
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from 'react'
import type { RunSort } from '../../src/contract/run.ts'
import { ApiError, address } from '../data/api.ts'
import { hubNow } from '../data/clock.ts'
import { liveRuns } from '../data/live/live.ts'
import { GOING_ON, groupOf } from '../data/run-filter.ts'
import { countRuns, listRuns, type Run, type RunFilter } from '../data/runs.ts'
import { useNavigate, useSearch } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { useHeldKeys } from '../parts/held-keys.ts'
import { type Grouping, useHovered, useRowGroups } from '../parts/rows/row-groups.ts'
import { Newer, NewRows, newWords, Older, useRowWindow } from '../parts/rows/row-window.tsx'
import { ConnectionDot } from '../shell/connection.tsx'
import { useFailures, useNeedsYou } from '../shell/needs-you.ts'
import { FilterLine } from './filter-line.tsx'
import { RunRow } from './run-row.tsx'

const BulkBar = lazy(async () => ({ default: (await import('./bulk-bar.tsx')).BulkBar }))
const NeedsYou = lazy(async () => ({ default: (await import('./needs-you-list.tsx')).NeedsYou }))
const ViewsMenu = lazy(async () => ({ default: (await import('./views-menu.tsx')).ViewsMenu }))
const Empty = lazy(async () => ({ default: (await import('./no-runs.tsx')).Empty }))
const ShareSheet = lazy(() => import('../parts/share/share-sheet.tsx'))
const NoMatch = lazy(async () => ({ default: (await import('./no-runs.tsx')).NoMatch }))

type Held = 'list' | 'needs'

/** Returns the runs. While they are held, new ones are left out; with `stays`, runs that are gone stay as they were. */
function useHeld(runs: readonly Run[], held: boolean, stays: boolean): readonly Run[] {
  const lastRuns = useRef(runs)
  if (!held) lastRuns.current = runs
  const now = new Map(runs.map((run) => [run.run_id, run]))
  lastRuns.current = lastRuns.current.flatMap((run) => now.get(run.run_id) ?? (stays ? run : []))
  return lastRuns.current
}

/** Minimum time in ms between two reads of the counts. */
const COUNT_MS = 5000

const grouping: Grouping<Run> = {
  id: ({ run_id }) => run_id,
  group: (run) => groupOf(run, hubNow()),
  first: [GOING_ON],
}
// In an order other than by creation, new runs have no place until the list is read again.
const sorted: Grouping<Run> = { ...grouping, group: () => 'All matches', first: [], isSorted: true }

/** Counts the runs that match a filter, again when runs change. */
function useCounts(filter: RunFilter) {
  const client = useQueryClient()
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const again = () => {
      timer ??= setTimeout(() => {
        timer = undefined
        if (!document.hidden) void client.invalidateQueries({ queryKey: ['run-counts'] })
      }, COUNT_MS)
    }
    const stop = liveRuns.read(again, again)
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [client])
  const { data } = useQuery({
    queryKey: ['run-counts', filter],
    queryFn: ({ signal }) => countRuns(filter, signal),
  })
  return data
}

type Counts = ReturnType<typeof useCounts>

/** Formats counts: `45 of 103,882`. */
function countsText(counts: Counts, all: Counts, isFiltered: boolean): string {
  const total = (of: NonNullable<Counts>) =>
    `${of.total.toLocaleString('en')}${of.more.length > 0 ? '+' : ''}`
  if (all === undefined || counts === undefined) return ''
  return isFiltered
    ? `${total(counts)} of ${total(all)}`
    : `${total(all)} ${all.total === 1 ? 'run' : 'runs'}`
}

interface SortHeadProps {
  word: string
  /**
   * The column's orders: the first press applies the first, the next press the second, and a third press ends
   * sorting.
   */
  by: readonly [RunSort, RunSort]
  filter: RunFilter
  className?: string
}

/** The head of a column, which sorts the list. */
function SortHead({ word, by, filter, className = 'justify-self-start' }: SortHeadProps) {
  const navigate = useNavigate()
  const at = by.indexOf(filter.sort as RunSort)
  const isDown = filter.sort?.startsWith('-')
  const Icon = isDown ? ArrowDown : ArrowUp
  const order = at < 0 ? '' : isDown ? ', descending' : ', ascending'
  return (
    <button
      type="button"
      aria-label={`Sort by ${word}${order}`}
      aria-pressed={at >= 0}
      className={`flex min-h-6 items-center gap-0.5 rounded hover:text-ink aria-pressed:font-medium aria-pressed:text-ink ${className}`}
      onClick={() => navigate({ to: '/runs', search: { ...filter, sort: by[at + 1] } })}
    >
      {word}
      {at >= 0 && <Icon size={11} strokeWidth={2} aria-hidden />}
    </button>
  )
}

export function RunsPage() {
  const filter = useSearch('/runs')
  const [hovered, setHovered] = useHovered<Held>()
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set())
  const [isAll, setAll] = useState(false)
  const [focused, setFocused] = useState(false)
  const [scrolled, setScrolled] = useState(false)
  const [sharing, setSharing] = useState<Run>()
  const main = useRef<HTMLElement>(null)
  const needsYou = useNeedsYou()
  const failures = useFailures()
  const [round, setRound] = useState(0)
  const client = useQueryClient()
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage, isPlaceholderData } = useInfiniteQuery(
    {
      queryKey: ['runs', filter],
      queryFn: ({ pageParam, signal }) => listRuns(filter, pageParam, signal),
      initialPageParam: undefined as string | undefined,
      getNextPageParam: ({ next_cursor }) => next_cursor,
      placeholderData: keepPreviousData,
    },
  )
  useHeldKeys(data === undefined && error === null)
  const runs = useMemo(() => data?.pages.flatMap((page) => page.runs) ?? [], [data])
  const counts = useCounts(filter)
  const all = useCounts({})
  const scope = JSON.stringify(filter)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another filter begins at its newest
  useEffect(() => {
    setAll(false)
    setMarked(new Set())
  }, [scope])
  const held = hovered !== undefined || focused
  const stays = held && hovered !== 'needs'
  const isSorted = filter.sort !== undefined
  const { groups, waiting } = useRowGroups(
    runs,
    held || scrolled || isSorted,
    `${scope} ${round}${isPlaceholderData ? ' before' : ''}`,
    isSorted ? sorted : grouping,
  )
  const pages = { hasNextPage, isFetchingNextPage, fetchNextPage, loaded: runs.length }
  const rows = useRowWindow(groups, scope, pages)
  const asking = useHeld(needsYou, held, false)
  const failed = useHeld(failures, held, stays)
  const need = needsYou.length + failures.length
  const newNeeds = needsYou.filter((run) => !asking.includes(run)).length
  const newFailures = failures.filter((run) => !failed.includes(run)).length
  const needed = useRef(false)
  needed.current ||= need > 0
  useEffect(() => {
    document.title = 'Runs · Errand'
  }, [])
  useEffect(() => {
    const press = ({ key }: KeyboardEvent) => {
      if (key !== 'Escape' || document.querySelector('dialog[open]') !== null) return
      setAll(false)
      setMarked(new Set())
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])

  const chosen = runs.filter(({ run_id }) => marked.has(run_id))
  const isFiltered = Object.keys(filter).some((name) => name !== 'sort')
  const mark = (id: string) => {
    const next = new Set(marked)
    if (!next.delete(id)) next.add(id)
    setAll(false)
    setMarked(next)
  }
  const move = (event: React.KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-run]')
    if (row === null || event.target instanceof HTMLInputElement) return
    const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-run]')]
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key]
    const other = step === undefined ? undefined : rows[rows.indexOf(row) + step]
    if (step !== undefined) {
      other?.querySelector('a')?.focus()
      if (event.shiftKey && other !== undefined)
        setMarked(new Set([...marked, row.dataset.run!, other.dataset.run!]))
    } else if (event.key === 'x') mark(row.dataset.run!)
    else return
    event.preventDefault()
  }
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-edge max-sm:h-14 max-sm:border-0">
        <h1 className="text-page font-semibold max-sm:text-run">Runs</h1>
        <span className="text-meta text-ink2">
          <ConnectionDot word={false} />
        </span>
        <Suspense>
          <ViewsMenu filter={filter} />
        </Suspense>
      </header>
      <main
        ref={main}
        className="min-h-0 flex-1 overflow-y-auto pb-20"
        onScroll={({ currentTarget }) => setScrolled(currentTarget.scrollTop > 40)}
      >
        <div data-holds="list">
          {needed.current && (
            <Suspense>
              <NeedsYou runs={asking} failures={failed} stays={stays} />
            </Suspense>
          )}
          {(isFiltered || runs.length > 0) && (
            <FilterLine filter={filter} runs={runs} said={countsText(counts, all, isFiltered)} />
          )}
          {error instanceof ApiError && (
            <div className="mx-edge my-3">
              <Failure error={error} />
            </div>
          )}
          <NewRows
            words={[
              ...(newNeeds > 0 ? [`${newNeeds} more ${newNeeds === 1 ? 'needs' : 'need'} you`] : []),
              ...(newFailures > 0 ? [`${newFailures} more failed`] : []),
              ...newWords(waiting, 'run'),
            ]}
            show={async () => {
              if (isSorted) await client.invalidateQueries({ queryKey: ['runs', filter] })
              setRound((before) => before + 1)
              setHovered(undefined)
              setFocused(false)
              setScrolled(false)
              rows.toTop()
              main.current?.scrollTo(0, 0)
            }}
          />
          {rows.listed > 0 && (
            // biome-ignore lint/a11y/noStaticElementInteractions: keys move between the links of its rows
            <div
              data-routes={runs.some(({ route }) => route !== undefined) || undefined}
              className="group/list"
              onFocus={({ target }) => setFocused(target.matches(':focus-visible'))}
              onBlur={() => setFocused(false)}
              onKeyDown={move}
            >
              <div className="grid grid-cols-(--run-columns) items-center gap-x-3 px-edge text-label text-ink2 max-sm:hidden">
                <span />
                <SortHead word="Name" by={['name', '-name']} filter={filter} className="justify-self-start" />
                <span aria-hidden="true" className="hidden md:group-data-routes/list:block">
                  Route
                </span>
                <span aria-hidden="true" className="max-lg:hidden">
                  Now
                </span>
                <span aria-hidden="true" className="max-lg:hidden">
                  Owner
                </span>
                <SortHead
                  word="Started"
                  by={['-started', 'started']}
                  filter={filter}
                  className="justify-self-end max-md:hidden"
                />
                <SortHead
                  word="Duration"
                  by={['-duration', 'duration']}
                  filter={filter}
                  className="justify-self-end"
                />
                <span />
              </div>
              <Newer of={rows} what="runs" />
              {rows.shown.map(([name, some]) => (
                <section key={name} aria-label={name}>
                  <h2 className="flex gap-2 px-edge pt-3 pb-1.5 text-label font-normal text-ink2">
                    {name} <span className="text-ink3">{groups.get(name)!.length}</span>
                  </h2>
                  <ul>
                    {some.map((run) => (
                      <RunRow
                        key={run.run_id}
                        run={run}
                        marked={marked.has(run.run_id)}
                        mark={mark}
                        share={setSharing}
                      />
                    ))}
                  </ul>
                </section>
              ))}
            </div>
          )}
        </div>
        {data !== undefined && runs.length === 0 && (
          <Suspense>{isFiltered ? <NoMatch filter={filter} /> : <Empty />}</Suspense>
        )}
        <Older of={rows} what="runs" />
      </main>
      {sharing !== undefined && (
        <Suspense>
          <ShareSheet
            run={sharing}
            link={`${location.origin}${address(`/runs/${encodeURIComponent(sharing.run_id)}`)}`}
            close={() => setSharing(undefined)}
          />
        </Suspense>
      )}
      {chosen.length > 0 && (
        <Suspense>
          <BulkBar
            chosen={chosen}
            filter={filter}
            counts={counts}
            isAll={isAll}
            chooseAll={() => setAll(true)}
            clear={(left = []) => {
              setAll(false)
              setMarked(new Set(left))
            }}
          />
        </Suspense>
      )}
    </>
  )
}
