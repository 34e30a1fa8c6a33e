import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { useEffect, useMemo } from 'react'
import { ApiError } from '../data/api.ts'
import { hubNow } from '../data/clock.ts'
import { filterOfWords, GOING_ON, groupOf } from '../data/run-filter.ts'
import { listRuns, type Run, type RunFilter, shownStatus } from '../data/runs.ts'
import { repoName } from '../data/tasks.ts'
import { Link, useNavigate, useSearch } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { FilterChip, FilterChoice } from '../parts/filter-choice.tsx'
import { FilterForm } from '../parts/filter-form.tsx'
import { useHeldKeys } from '../parts/held-keys.ts'
import type { Grouping } from '../parts/rows/row-groups.ts'
import { Newer, NewRows, newWords, Older, useRowList } from '../parts/rows/row-window.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { Took, Waited, When } from '../parts/times.tsx'

/** A value that is not a status: sessions that wait for an answer. */
const ASKING = 'asks'

const NEEDS_YOU = 'Needs you'
const grouping: Grouping<Run> = {
  id: ({ run_id }) => run_id,
  group: (run) => (shownStatus(run) === 'asks' ? NEEDS_YOU : groupOf(run, hubNow())),
  first: [NEEDS_YOU, GOING_ON],
}
const sorted: Grouping<Run> = { ...grouping, group: () => 'All matches', first: [], isSorted: true }

/** Lists sessions with agents: those that ask and active ones first, then by day. Each has its last words. */
export function SessionsPage() {
  const filter = useSearch('/sessions')
  const sessionFilter: RunFilter = useMemo(() => ({ ...filter, kind: 'agent' }), [filter])
  // The key of the lists of runs: rows change in place as changes arrive.
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage, isPlaceholderData } = useInfiniteQuery(
    {
      queryKey: ['runs', sessionFilter],
      queryFn: ({ pageParam, signal }) => listRuns(sessionFilter, pageParam, signal),
      initialPageParam: undefined as string | undefined,
      getNextPageParam: ({ next_cursor }) => next_cursor,
      placeholderData: keepPreviousData,
    },
  )
  useEffect(() => {
    document.title = 'Sessions · Errand'
  }, [])
  const runs = useMemo(() => data?.pages.flatMap((page) => page.runs) ?? [], [data])
  const pages = { hasNextPage, isFetchingNextPage, fetchNextPage }
  const scope = `${JSON.stringify(filter)}${isPlaceholderData ? ' before' : ''}`
  const rows = useRowList(runs, scope, filter.sort === undefined ? grouping : sorted, pages)
  useHeldKeys(data === undefined && error === null)
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
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-edge max-sm:h-14 max-sm:border-0">
        <h1 className="text-page font-semibold max-sm:text-run">Sessions</h1>
        <Link to="/new" search={{ kind: 'agent' }} className="button ml-auto">
          New session
        </Link>
      </header>
      <main {...rows.main} className="min-h-0 flex-1 overflow-y-auto pb-20" onKeyDown={move}>
        {/* Also shown if the person has no sessions: others may have shared theirs. */}
        {data !== undefined && <Filter filter={filter} runs={runs} />}
        {error instanceof ApiError && (
          <div className="mx-edge my-3">
            <Failure error={error} />
          </div>
        )}
        {data !== undefined && runs.length === 0 && (
          <Empty
            isFiltered={isFiltered}
            isShared={filter.shared !== undefined && Object.keys(filter).length === 1}
          />
        )}
        <NewRows words={newWords(rows.waiting, 'session')} show={rows.showNew} />
        <div {...rows.list}>
          <Newer of={rows.window} what="sessions" />
          {rows.window.shown.map(([name, some]) => (
            <section key={name} aria-label={name}>
              <h2 className="sticky top-0 z-10 bg-surface px-edge pt-4 pb-1.5 text-label font-medium text-ink2">
                {name}
              </h2>
              <ul>
                {some.map((run) => (
                  <Row key={run.run_id} run={run} />
                ))}
              </ul>
            </section>
          ))}
        </div>
        <Older of={rows.window} what="sessions" />
      </main>
    </>
  )
}

const count = (tokens: number): string => (tokens < 1000 ? `${tokens}` : `${(tokens / 1000).toFixed(1)}k`)

function Row({ run }: { run: Run }) {
  const shown = shownStatus(run)
  const { session } = run
  const text =
    shown === 'asks'
      ? run.now?.question?.text
      : (run.set_aside?.why ?? session?.last_words ?? run.waiting ?? run.message)
  const used =
    session?.cost_usd !== undefined
      ? `$${session.cost_usd.toFixed(session.cost_usd < 0.1 ? 4 : 2)}`
      : session?.tokens !== undefined
        ? `${count(session.tokens)} tokens`
        : ''
  return (
    <li
      data-run={run.run_id}
      className="relative grid min-h-[52px] grid-cols-[20px_minmax(0,1fr)_minmax(8rem,12rem)_6rem_8.5rem_4.5rem] items-center gap-x-3 border-t border-line px-edge py-1.5 hover:bg-hover max-lg:grid-cols-[20px_minmax(0,1fr)_6rem_4.5rem] max-sm:min-h-16 max-sm:grid-cols-[20px_minmax(0,1fr)_auto]"
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
          <bdi>{text ?? '–'}</bdi>
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
        <Took of={run} />
        <Waited of={run} className="block text-label" />
      </span>
    </li>
  )
}

const titles = { state: 'State', agent: 'Agent', repository: 'Repository', user: 'Owner' } as const
const names = { since: 'Since', until: 'Until', label: 'Label', workflow: 'Name', q: 'Text' } as const
const states = [
  [ASKING, 'waiting for you'],
  ['running', 'in progress'],
  ['success', statusWord('success')],
  ['failed', 'failed'],
  ['canceled', 'canceled'],
  ['interrupted', 'interrupted'],
] as const

/** Shows the same filter as words, choices and chips; all of it is part of the address. */
function Filter({ filter, runs }: { filter: RunFilter; runs: readonly Run[] }) {
  const navigate = useNavigate()
  const set = (search: RunFilter) => navigate({ to: '/sessions', search })
  // Values of the loaded sessions; others can be typed as words.
  const known = (of: (run: Run) => string | undefined) =>
    [...new Set(runs.map(of).filter((one) => one !== undefined))].sort()
  const choices = {
    agent: known(({ session }) => session?.agent).map((agent) => [agent, agent] as const),
    repository: known(({ repository }) => repository).map((one) => [one, repoName(one)] as const),
    user: known(({ owner }) => owner).map((owner) => [owner, owner] as const),
  }
  const isShared = filter.shared !== undefined
  return (
    <FilterForm
      label="Filter: words such as agent:codex, or part of a name, of the last words or of an ID"
      placeholder="agent:codex repository:shop/web text…"
      submit={(text) => {
        const { kind: _, ...words } = filterOfWords(text)
        void set({ ...filter, ...words })
      }}
    >
      <FilterChoice
        label={titles.state}
        choices={states}
        value={filter.needs === undefined ? filter.status : ASKING}
        choose={(state) =>
          set({
            ...filter,
            needs: state === ASKING ? 'me' : undefined,
            status: state === ASKING ? undefined : state,
          })
        }
      />
      {(Object.keys(choices) as (keyof typeof choices)[]).map((name) => (
        <FilterChoice
          key={name}
          label={titles[name]}
          choices={choices[name]}
          value={filter[name]}
          choose={(value) => set({ ...filter, [name]: value })}
        />
      ))}
      <button
        type="button"
        aria-pressed={isShared}
        title="Sessions that others have shared with you"
        className={`h-7 rounded-md border px-2 text-meta max-sm:h-11 ${isShared ? 'border-accent bg-accent-soft font-medium text-accent' : 'border-dashed border-line2 text-ink2'}`}
        onClick={() => set({ ...filter, shared: isShared ? undefined : '1' })}
      >
        Shared with me
      </button>
      {(['since', 'until', 'label', 'workflow', 'q'] as const).map((name) => {
        const value = filter[name]
        return (
          value !== undefined && (
            <FilterChip
              key={name}
              word={names[name]}
              value={value}
              drop={() => set({ ...filter, [name]: undefined })}
            />
          )
        )
      })}
    </FilterForm>
  )
}

function Empty({ isFiltered, isShared }: { isFiltered: boolean; isShared: boolean }) {
  return (
    <div className="flex flex-col items-center gap-3 px-edge pt-24 text-center">
      <h2 className="text-empty font-semibold">
        {isShared
          ? 'Nobody has shared a session with you'
          : isFiltered
            ? 'No sessions match'
            : 'No sessions yet'}
      </h2>
      {isFiltered ? (
        <Link to="/sessions" search={{}} className="button">
          {isShared ? 'Show mine' : 'Clear filter'}
        </Link>
      ) : (
        <>
          <p className="-mt-2 mb-3 text-ink2">
            A session is a conversation with an agent. It works on your machines, and asks you first.
          </p>
          <Link to="/new" search={{ kind: 'agent' }} className="button button-main">
            Start a session
          </Link>
          <p className="mt-3 text-meta text-ink2">
            or from a shell: <code className="font-mono">errand agent "Explain this repository" --hub</code>
          </p>
        </>
      )}
    </div>
  )
}
