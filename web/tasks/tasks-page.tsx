import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { GitPullRequest, Plus } from 'lucide-react'
import { memo, useEffect, useMemo } from 'react'
import { ApiError } from '../data/api.ts'
import { useLiveTasks } from '../data/live/live-tasks.ts'
import { wordsOf } from '../data/page-words.ts'
import { GOING_ON } from '../data/run-filter.ts'
import { type TaskFilter, taskFilterOfWords } from '../data/task-filter.ts'
import {
  isOverTask,
  issueNumber,
  listTasks,
  repoName,
  type Task,
  taskMark,
  taskStates,
  taskStateWord,
  webAddress,
} from '../data/tasks.ts'
import { Link, useNavigate, useSearch } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { FilterChip, FilterChoice } from '../parts/filter-choice.tsx'
import { FilterForm } from '../parts/filter-form.tsx'
import { useHeldKeys } from '../parts/held-keys.ts'
import type { Grouping } from '../parts/rows/row-groups.ts'
import { Newer, NewRows, newWords, Older, useRowList } from '../parts/rows/row-window.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { When } from '../parts/times.tsx'
import { ConnectionDot } from '../shell/connection.tsx'

const columns =
  'grid grid-cols-[20px_minmax(12rem,2.2fr)_8rem_minmax(7rem,1.3fr)_7rem_5rem_4.5rem_6.5rem] items-center gap-x-3 px-edge max-lg:grid-cols-[20px_minmax(0,1fr)_minmax(6rem,0.8fr)_6rem_4.5rem] max-sm:grid-cols-[20px_minmax(0,1fr)_auto]'

const [NEEDS_YOU, ENDED] = ['Needs you', 'Ended']
const grouping: Grouping<Task> = {
  id: ({ id }) => id,
  group: ({ state }) => (state === 'waiting' ? NEEDS_YOU : isOverTask(state) ? ENDED : GOING_ON),
  first: [NEEDS_YOU, GOING_ON, ENDED],
}

/** Lists all coding tasks of a person: those that ask first, then active ones, then the others, each newest first. */
export function TasksPage() {
  const filter = useSearch('/tasks')
  const navigate = useNavigate()
  useLiveTasks()
  useEffect(() => {
    document.title = 'Tasks · Errand'
  }, [])
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage, isPlaceholderData } = useInfiniteQuery(
    {
      queryKey: ['tasks', filter],
      queryFn: ({ pageParam, signal }) => listTasks(filter, pageParam, signal),
      initialPageParam: undefined as string | undefined,
      getNextPageParam: ({ next_cursor }) => next_cursor,
      placeholderData: keepPreviousData,
    },
  )
  useHeldKeys(data === undefined && error === null)
  const tasks = useMemo(() => data?.pages.flatMap((page) => page.tasks) ?? [], [data])
  const pages = { hasNextPage, isFetchingNextPage, fetchNextPage }
  const scope = `${JSON.stringify(filter)}${isPlaceholderData ? ' before' : ''}`
  const rows = useRowList(tasks, scope, grouping, pages)
  const isFiltered = Object.keys(filter).length > 0
  const move = (event: React.KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-task]')
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key]
    if (row === null || step === undefined) return
    const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-task]')]
    rows[rows.indexOf(row) + step]?.querySelector('a')?.focus()
    event.preventDefault()
  }
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-edge max-sm:h-14 max-sm:border-0">
        <h1 className="text-page font-semibold max-sm:text-run">Tasks</h1>
        <span className="text-meta text-ink2">
          <ConnectionDot word={false} />
        </span>
        {/* An empty page has its main button below. */}
        <Link
          to="/new"
          search={{ kind: 'task' }}
          className={`button ml-auto ${isFiltered || tasks.length > 0 ? 'button-main' : ''}`}
        >
          <Plus size={14} strokeWidth={1.75} aria-hidden /> New task
        </Link>
      </header>
      <main {...rows.main} className="min-h-0 flex-1 overflow-y-auto pb-20">
        {(isFiltered || tasks.length > 0) && <TaskFilterLine filter={filter} tasks={tasks} />}
        {error instanceof ApiError && (
          <div className="mx-edge my-3">
            <Failure error={error} />
          </div>
        )}
        {data !== undefined &&
          tasks.length === 0 &&
          (isFiltered ? (
            <div className="flex flex-col items-center gap-3 px-edge py-24">
              <p className="text-empty font-semibold">No task matches</p>
              <button type="button" className="button" onClick={() => navigate({ to: '/tasks', search: {} })}>
                Clear filter
              </button>
            </div>
          ) : (
            <Empty />
          ))}
        <NewRows words={newWords(rows.waiting, 'task')} show={rows.showNew} />
        {tasks.length > 0 && (
          // biome-ignore lint/a11y/noStaticElementInteractions: keys move between the links of its rows
          <div {...rows.list} onKeyDown={move}>
            <div aria-hidden="true" className={`${columns} py-1 text-label text-ink2 max-sm:hidden`}>
              <span />
              <span>Title</span>
              <span className="max-lg:hidden">Repository</span>
              <span>Now</span>
              <span className="max-lg:hidden">Agent</span>
              <span>Tests</span>
              <span className="max-lg:hidden">Pull request</span>
              <span className="text-right">Updated</span>
            </div>
            <Newer of={rows.window} what="tasks" />
            {rows.window.shown.map(([name, some]) => (
              <section key={name} aria-label={name}>
                <h2
                  className={`flex gap-2 px-edge pt-3 pb-1.5 text-label ${name === NEEDS_YOU ? 'font-semibold text-ask' : 'font-normal text-ink2'}`}
                >
                  {name} <span>{rows.groups.get(name)!.length}</span>
                </h2>
                <ul>
                  {some.map((task) => (
                    <TaskRow key={task.id} task={task} />
                  ))}
                </ul>
              </section>
            ))}
          </div>
        )}
        <Older of={rows.window} what="tasks" />
      </main>
    </>
  )
}

/** Says in a few words where a task stands. */
function Now({ task }: { task: Task }) {
  const { state, reason, why, message } = task
  const tone: Partial<Record<Task['state'], string>> = {
    running: 'text-accent',
    waiting: 'text-ask',
    blocked: 'text-ask',
    failed: 'text-bad',
    in_review: 'text-ok',
    done: 'text-ok',
  }
  const more =
    state === 'failed'
      ? ((reason && wordsOf(reason)) ?? message)
      : state === 'waiting'
        ? undefined
        : (why ?? undefined)
  return (
    <span
      className="block truncate"
      title={[taskStateWord(state), why ?? message].filter(Boolean).join(': ')}
    >
      <span className={`font-medium ${tone[state] ?? 'text-ink2'}`}>{taskStateWord(state)}</span>
      {more !== undefined && (
        <span className="text-ink2">
          {' '}
          · <bdi>{more}</bdi>
        </span>
      )}
      {task.try_count > 1 && <span className="text-ink2"> · try {task.try_count}</span>}
    </span>
  )
}

function Tests({ of }: { of: Task['test_figures'] }) {
  if (of === undefined) return <span className="text-ink3">–</span>
  const all = of.passed + of.failed
  return of.failed > 0 ? (
    <span className="text-bad">
      {of.failed}/{all} failed
    </span>
  ) : (
    <span className="text-ink2">{of.passed} passed</span>
  )
}

const TaskRow = memo(function TaskRow({ task }: { task: Task }) {
  const url = webAddress(task.pull_request?.url)
  return (
    <li
      data-task={task.id}
      className={`${columns} relative min-h-[46px] border-t border-line py-1 hover:bg-hover max-sm:min-h-16`}
    >
      <StatusMark shown={taskMark(task.state)} />
      <span className="min-w-0">
        <Link
          to="/tasks/$task"
          params={{ task: task.id }}
          search={{}}
          className="block truncate font-medium after:absolute after:inset-0 max-sm:text-page"
          title={task.title}
        >
          <bdi>{task.title}</bdi>
        </Link>
        <span className="flex min-w-0 gap-2 text-label text-ink3 max-sm:hidden">
          <bdi className="truncate font-mono">{task.task_id}</bdi>
          <span className="shrink-0">{task.owner}</span>
        </span>
        <span className="hidden text-meta max-sm:block">
          <Now task={task} />
        </span>
      </span>
      <span className="truncate text-meta text-ink2 max-lg:hidden" title={task.repo}>
        <bdi>{repoName(task.repo ?? '')}</bdi>
      </span>
      <span className="min-w-0 text-meta max-sm:hidden">
        <Now task={task} />
      </span>
      <span className="truncate text-meta text-ink2 max-lg:hidden">
        <bdi>{task.agent}</bdi>
      </span>
      <span className="truncate text-meta whitespace-nowrap max-sm:hidden">
        <Tests of={task.test_figures} />
      </span>
      <span className="text-meta max-lg:hidden">
        {url === undefined ? (
          <span className="text-ink3">–</span>
        ) : (
          <a
            href={url}
            target="_blank"
            rel="noopener noreferrer"
            className={`relative z-10 inline-flex h-6 items-center gap-1 hover:underline ${task.pull_request!.state === 'merged' ? 'text-gone' : task.pull_request!.state === 'open' ? 'text-ok' : 'text-ink2'}`}
            aria-label={`Pull request ${issueNumber(url) ?? ''}, ${task.pull_request!.state}`}
          >
            <GitPullRequest size={13} strokeWidth={1.75} aria-hidden /> {issueNumber(url) ?? 'open'}
          </a>
        )}
      </span>
      <span className="text-right text-meta whitespace-nowrap text-ink2">
        <When time={task.updated_at} />
      </span>
    </li>
  )
})

/** Shows the same filter as words and as chips; both are part of the address. */
function TaskFilterLine({ filter, tasks }: { filter: TaskFilter; tasks: readonly Task[] }) {
  const navigate = useNavigate()
  const set = (next: TaskFilter) => navigate({ to: '/tasks', search: next })
  const known = (of: (task: Task) => string | undefined) =>
    [...new Set(tasks.map(of).filter((one) => one !== undefined))].sort()
  const choices = {
    state: taskStates.map((state) => [state, taskStateWord(state)] as const),
    repo: known(({ repo }) => repo).map((repo) => [repo, repoName(repo)] as const),
    agent: known(({ agent }) => agent).map((agent) => [agent, agent] as const),
    user: known(({ owner }) => owner).map((owner) => [owner, owner] as const),
  }
  const titles = { state: 'State', repo: 'Repository', agent: 'Agent', user: 'User' }
  return (
    <FilterForm
      label="Filter: words such as state:running, or part of a title or id"
      placeholder="state:running agent:codex text…"
      submit={(words) => void set({ ...filter, ...taskFilterOfWords(words) })}
    >
      {(Object.keys(choices) as (keyof typeof choices)[]).map((name) => (
        <FilterChoice
          key={name}
          label={titles[name]}
          choices={choices[name]}
          value={filter[name]}
          choose={(value) => set({ ...filter, [name]: value })}
        />
      ))}
      {filter.q !== undefined && (
        <FilterChip word="Text" value={filter.q} drop={() => set({ ...filter, q: undefined })} />
      )}
    </FilterForm>
  )
}

function Empty() {
  return (
    <div className="flex flex-col items-center px-edge py-24 text-center">
      <p className="mb-1 text-empty font-semibold">No tasks yet</p>
      <p className="mb-6 max-w-md text-ink2">
        A task turns an issue into a pull request: an agent does the work, and tests check it.
      </p>
      <Link to="/new" search={{ kind: 'task' }} className="button button-main">
        <Plus size={14} strokeWidth={1.75} aria-hidden /> Create task
      </Link>
      <p className="mt-6 text-meta text-ink2">
        or from a shell: <code className="font-mono">errand task run ISSUE-URL</code>
      </p>
    </div>
  )
}
