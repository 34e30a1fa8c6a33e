import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query'
import { ChevronLeft, ExternalLink, GitBranch, RotateCcw, Share2 } from 'lucide-react'
import { lazy, Suspense, useEffect, useState } from 'react'
import { ApiError } from '../data/api.ts'
import { type StoredChange, storedChange } from '../data/change.ts'
import { clockOf } from '../data/clock.ts'
import { useLiveTasks } from '../data/live/live-tasks.ts'
import { wordsOf } from '../data/page-words.ts'
import { useRunFeed } from '../data/run-feed.ts'
import { getRun, type RunDetail, shownStep } from '../data/runs.ts'
import {
  cancelTask,
  deleteTask,
  getTask,
  isOverTask,
  issueNumber,
  promptTask,
  repoName,
  retryTask,
  type TaskDetail,
  taskArtifacts,
  taskMark,
  taskPath,
  taskStateWord,
  taskTone,
  webAddress,
} from '../data/tasks.ts'
import { Link, useNavigate, useParam, useSearch } from '../navigation/navigation.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { type Against, Changes, RunChanges } from '../parts/diff/changes.tsx'
import type { Send } from '../parts/diff/diff-view.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { routeOfStages, type Stage, stagesOf } from './stages.ts'
import { TaskFacts } from './task-facts.tsx'
import { type TaskSearch, type TaskTab, taskTabs } from './task-search.ts'
import { TaskArtifacts, TaskLog, TaskSteps, TaskTries } from './task-tabs.tsx'

const NotYours = lazy(() => import('../parts/share/not-yours.tsx'))
const ShareTask = lazy(() => import('../parts/share/share-task.tsx'))

export function TaskPage() {
  const id = useParam('task')
  useLiveTasks()
  const { data: task, error } = useQuery({
    queryKey: ['task', id],
    queryFn: ({ signal }) => getTask(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
    retry: (count, error) => count < 3 && !(error instanceof ApiError && error.status === 404),
  })
  if (task !== undefined) return <ShownTask key={task.id} task={task} />
  if (error === null) return <main className="flex-1" aria-busy="true" />
  if (error instanceof ApiError && error.status === 404)
    return (
      <Suspense fallback={<main className="flex-1" aria-busy="true" />}>
        <NotYours what="task" id={id} to="/tasks" />
      </Suspense>
    )
  return (
    <main className="flex flex-1 flex-col items-center justify-center gap-4 px-edge text-center">
      <h1 className="text-empty font-semibold">{error.message}</h1>
      <Link to="/tasks" className="button">
        Go to tasks
      </Link>
    </main>
  )
}

/** Reports whether another try can be started: none is open, and none starts by itself. */
const canRetry = ({ state, run_id, retry_at }: TaskDetail) =>
  run_id === undefined && retry_at === undefined && (isOverTask(state) || state === 'in_review')

/** Returns the number of tries, their time and their cost, such as `2 tries, 31:08, $1.24`. */
function spentWords({ tries, spent }: TaskDetail): string {
  const parts = [tries.length === 1 ? '1 try' : `${tries.length} tries`]
  if (spent.seconds > 0) parts.push(clockOf(spent.seconds * 1000))
  if (spent.cost_usd !== undefined) parts.push(`$${spent.cost_usd.toFixed(2)}`)
  else if (spent.tokens !== undefined) parts.push(`${spent.tokens.toLocaleString('en')} tokens`)
  return parts.join(', ')
}

type TaskAction = 'cancel' | 'retry' | 'delete'

function ShownTask({ task }: { task: TaskDetail }) {
  const search = useSearch('/tasks/$task')
  const navigate = useNavigate('/tasks/$task')
  const [requested, setRequested] = useState<TaskAction>()
  const [sharing, setSharing] = useState(false)
  const { data: stored } = useQuery({
    queryKey: ['task-artifacts', task.id],
    queryFn: ({ signal }) => taskArtifacts(task.id, signal),
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: keepPreviousData,
  })
  const tryNumber = search.try === undefined ? undefined : Number(search.try)
  const shownTry = task.tries.find(({ number }) => number === tryNumber) ?? task.tries.at(-1)
  const tab = search.tab ?? 'diff'
  const { run, feed } = useTryRun(shownTry?.run_id, tab === 'log')
  const change = stored && storedChange(stored.artifacts)
  const stages = run && stagesOfRun(run)
  const askingStep = run?.steps.find((step) => shownStep(step) === 'asks')
  const { task: spec } = task
  const show = (next: TaskSearch) => void navigate({ search: next, replace: true })
  useEffect(() => {
    document.title = `${task.title} ${taskStateWord(task.state)} · Errand`
  }, [task.title, task.state])
  const counts: Partial<Record<TaskTab, number>> = {
    artifacts: task.artifact_count,
    tries: task.tries.length,
  }
  const issue = webAddress(spec.issue)
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-edge max-sm:h-14 max-sm:px-3">
        <Link
          to="/tasks"
          aria-label="Tasks"
          className="-mx-1.5 hidden size-11 items-center justify-center max-sm:flex"
        >
          <ChevronLeft size={22} strokeWidth={1.75} aria-hidden />
        </Link>
        <nav aria-label="Breadcrumb" className="flex min-w-0 items-center gap-2 text-ink2">
          <Link to="/tasks" className="reach hover:text-ink max-sm:hidden">
            Tasks
          </Link>
          <span className="text-ink3 max-sm:hidden">/</span>
          {task.repo !== undefined && (
            <>
              <Link
                to="/tasks"
                search={{ repo: task.repo }}
                className="truncate py-0.5 hover:text-ink max-sm:hidden"
                title={task.repo}
              >
                <bdi>{repoName(task.repo)}</bdi>
              </Link>
              <span className="text-ink3 max-sm:hidden">/</span>
            </>
          )}
          <bdi className="truncate">{issueNumber(issue) ?? task.task_id}</bdi>
          {issue !== undefined && (
            <a
              href={issue}
              target="_blank"
              rel="noopener noreferrer"
              aria-label="Open the issue on its forge"
              className="flex size-6 shrink-0 items-center justify-center text-ink3 hover:text-ink"
            >
              <ExternalLink size={13} strokeWidth={1.75} aria-hidden />
            </a>
          )}
          <CopyButton text={task.id} label="Copy task ID" />
          <button
            type="button"
            aria-label="Share"
            title="Share"
            aria-haspopup="dialog"
            className="reach inline-flex size-6 shrink-0 items-center justify-center rounded text-ink3 hover:text-ink"
            onClick={() => setSharing(true)}
          >
            <Share2 size={14} strokeWidth={1.75} aria-hidden />
          </button>
        </nav>
        <div className="ml-auto flex gap-2 max-sm:hidden">
          <Actions task={task} ask={setRequested} />
        </div>
      </header>
      <div className="flex shrink-0 items-center gap-3 border-b border-line px-edge py-3 max-sm:flex-wrap max-sm:items-start">
        <StatusMark shown={taskMark(task.state)} size={24} />
        <div className="min-w-0 flex-1">
          <div className="flex items-center gap-2 max-sm:flex-wrap">
            <h1 className="truncate text-run font-semibold max-sm:whitespace-normal" title={task.title}>
              <bdi>{task.title}</bdi>
            </h1>
            <span className={`chip ${taskTone(task.state)}`}>{taskStateWord(task.state)}</span>
            {task.reason !== undefined && task.state === 'failed' && (
              <span className="chip font-mono">{wordsOf(task.reason)}</span>
            )}
          </div>
          <div className="mt-0.5 flex flex-wrap items-center gap-x-4 gap-y-0.5 text-meta text-ink2">
            <span>created by {task.owner}</span>
            <bdi>
              {spec.agent}
              {spec.model === undefined ? '' : ` · ${spec.model}`}
              {spec.review === undefined ? '' : `, reviewed by ${spec.review.agent}`}
            </bdi>
            {task.tries.length > 0 && <span>{spentWords(task)}</span>}
            {task.pushed !== undefined && (
              <span className="flex min-w-0 items-center gap-1.5">
                <GitBranch size={13} strokeWidth={1.75} aria-hidden className="shrink-0" />
                <bdi className="truncate font-mono">{task.pushed.branch}</bdi>
                <CopyButton text={task.pushed.branch} label="Copy the branch name" />
              </span>
            )}
          </div>
        </div>
        {stages !== undefined && stages.length > 0 && <Stages stages={stages} />}
      </div>
      {sharing && (
        <Suspense>
          <ShareTask link={location.href} owner={task.owner} close={() => setSharing(false)} />
        </Suspense>
      )}
      <main className="flex min-h-0 flex-1 max-lg:block max-lg:overflow-y-auto">
        <div className="w-[340px] shrink-0 overflow-y-auto border-r border-line bg-canvas p-3.5 max-xl:w-[300px] max-lg:w-full max-lg:overflow-visible max-lg:border-r-0 max-lg:border-b">
          <TaskFacts task={task} change={change} asks={askingStep?.approval} />
        </div>
        <div className="flex min-h-0 min-w-0 flex-1 flex-col bg-surface max-lg:h-[85dvh] max-lg:min-h-[480px]">
          <div
            role="tablist"
            aria-label="Views of the task"
            className="flex h-10 shrink-0 overflow-x-auto border-b border-line px-2.5 max-sm:h-12"
          >
            {taskTabs.map((one) => (
              <button
                key={one}
                type="button"
                role="tab"
                aria-selected={tab === one}
                className="tab h-full text-body capitalize"
                onClick={() => show({ ...search, tab: one === 'diff' ? undefined : one })}
              >
                {one}
                {counts[one] !== undefined && <span className="text-ink2">{counts[one]}</span>}
              </button>
            ))}
          </div>
          {tab === 'diff' && stored !== undefined && (
            <TaskDiff task={task} change={change} shownTry={shownTry} search={search} show={show} />
          )}
          {tab === 'steps' && (
            <TaskSteps run={run} tries={task.tries} shown={shownTry} search={search} show={show} />
          )}
          {tab === 'log' && (
            <TaskLog feed={feed} run={run} tries={task.tries} shown={shownTry} search={search} show={show} />
          )}
          {tab === 'artifacts' && <TaskArtifacts kept={stored} />}
          {tab === 'tries' && <TaskTries task={task} show={show} />}
        </div>
      </main>
      <div className="hidden gap-2 border-t border-line p-3 *:min-w-0 *:flex-auto *:shrink *:px-2 max-sm:flex">
        <Actions task={task} ask={setRequested} />
      </div>
      {requested !== undefined && (
        <ActionDialog asked={requested} task={task} close={() => setRequested(undefined)} />
      )}
    </>
  )
}

interface DiffProps {
  task: TaskDetail
  change: StoredChange | undefined
  shownTry: TaskDetail['tries'][number] | undefined
  search: TaskSearch
  show: (search: TaskSearch) => void
}

/** Shows the change that was stored last, or that of a chosen earlier try. */
function TaskDiff({ task, change, shownTry, search, show }: DiffProps) {
  const view = {
    commit: search.against === undefined ? undefined : Number(search.against),
    file: search.file,
  }
  const showView = ({ commit, file }: Against) =>
    show({ ...search, file, against: commit === undefined ? undefined : String(commit) })
  if (shownTry !== undefined && search.try !== undefined && shownTry !== task.tries.at(-1))
    return (
      <>
        <p className="flex min-h-9 shrink-0 items-center gap-3 border-b border-line bg-ask-soft px-3 text-meta text-ask">
          You see the changes of try {shownTry.number} of {task.tries.length}.
          <button
            type="button"
            className="min-h-6 text-accent hover:underline"
            onClick={() => show({ ...search, try: undefined, against: undefined })}
          >
            Show the latest
          </button>
        </p>
        <RunChanges run={shownTry.run_id} version={shownTry.status} view={view} show={showView} />
      </>
    )
  return (
    <Changes
      of={taskPath(task.id)}
      scope={task.id}
      change={change}
      base={task.task.ref}
      view={view}
      show={showView}
      send={sendTo(task)}
      none={
        isOverTask(task.state)
          ? 'No try has stored a change.'
          : 'No changes yet. They appear when the agent reports that it is done.'
      }
    />
  )
}

/** Returns the run of a try, live while it is open, and the feed of its log. */
function useTryRun(id: string | undefined, hasLog: boolean) {
  const { data: run } = useQuery({
    queryKey: ['run', id],
    queryFn: ({ signal }) => getRun(id!, signal),
    enabled: id !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  })
  const feed = useRunFeed(hasLog || run?.finished_at === undefined ? id : undefined)
  return { run, feed }
}

const stagesOfRun = ({ steps, status }: RunDetail) =>
  stagesOf(
    steps.map((step) => ({ step: step.step, phase: step.phase, shown: shownStep(step) })),
    status !== 'queued' && status !== 'running',
  )

/** Shows the route of the chosen try, with the names of its current and last stage. */
function Stages({ stages }: { stages: readonly Stage[] }) {
  const at = stages.findIndex(({ shown }) => shown !== 'success')
  return (
    <div
      className="shrink-0 max-md:hidden"
      title={stages.map(({ name, shown }) => `${name}: ${shown}`).join(', ')}
    >
      <RouteLine route={routeOfStages(stages)} />
      <div className="flex w-[132px] justify-between text-label text-ink2">
        <span>{at === -1 ? stages[0]!.name : stages[at]!.name}</span>
        {at !== stages.length - 1 && <span>{stages.at(-1)!.name}</span>}
      </div>
    </div>
  )
}

/** Sends comments to the agent at work. If none is, they start another try, which builds on the stored work. */
function sendTo(task: TaskDetail): Send {
  const to = task.task.agent
  if (task.run_id !== undefined) return { to, act: (prompt, key) => promptTask(task.id, prompt, key) }
  return {
    to,
    act: (prompt, key) => retryTask(task.id, { prompt }, key),
    why: canRetry(task)
      ? undefined
      : `No agent can read them now. State of the task: ${taskStateWord(task.state)}.`,
  }
}

function Actions({ task, ask }: { task: TaskDetail; ask: (what: TaskAction) => void }) {
  const url = webAddress(task.pull_request?.url)
  const isOver = isOverTask(task.state) && task.run_id === undefined
  return (
    <>
      {isOver && (
        <button type="button" className="button button-quiet-bad" onClick={() => ask('delete')}>
          Delete…
        </button>
      )}
      {!isOverTask(task.state) && (
        <button type="button" className="button button-quiet-bad" onClick={() => ask('cancel')}>
          Cancel…
        </button>
      )}
      {canRetry(task) && (
        <button type="button" className="button" onClick={() => ask('retry')}>
          <RotateCcw size={14} strokeWidth={1.75} aria-hidden /> Try again…
        </button>
      )}
      {url !== undefined && (
        <a className="button button-main" href={url} target="_blank" rel="noopener noreferrer">
          Pull request {issueNumber(url)} <ExternalLink size={13} strokeWidth={1.75} aria-hidden />
        </a>
      )}
    </>
  )
}

const starts = {
  '': 'the first step without stored work',
  workspace: 'workspace: discard the work and start over',
  implement: 'implement: the agent continues the work',
  test: 'test',
  push: 'push',
  pull_request: 'pull request',
} as const

function ActionDialog({ asked, task, close }: { asked: TaskAction; task: TaskDetail; close: () => void }) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const [from, setFrom] = useState('')
  const [prompt, setPrompt] = useState('')
  const [typed, setTyped] = useState('')
  const settled = () => client.invalidateQueries({ queryKey: ['task'] })
  if (asked === 'cancel')
    return (
      <Confirm
        title={`Cancel ${task.title}?`}
        keep="Keep it"
        verb="Cancel task"
        doing="Canceling…"
        act={(key) => cancelTask(task.id, key).then(settled)}
        as={{ do: 'task-cancel', task: task.id }}
        close={close}
      >
        {task.run_id === undefined
          ? 'It is not running.'
          : 'This ends the open try. Work that it has not stored is lost.'}{' '}
        {task.pull_request?.state === 'open' && 'Its pull request stays open on the forge.'}
      </Confirm>
    )
  if (asked === 'retry')
    return (
      <Confirm
        title={`Try ${task.title} again?`}
        keep="Not now"
        verb="Start another try"
        doing="Starting…"
        destructive={false}
        act={(key) =>
          retryTask(
            task.id,
            { ...(from === '' ? {} : { from }), ...(prompt.trim() === '' ? {} : { prompt }) },
            key,
          ).then(settled)
        }
        as={{ do: 'task-retry', task: task.id, from, prompt: prompt.trim() }}
        close={close}
      >
        <label className="mt-2 block text-meta" htmlFor="retry-from">
          Start at
        </label>
        <select
          id="retry-from"
          className="field mt-1 w-full"
          value={from}
          onChange={({ target }) => setFrom(target.value)}
        >
          {Object.entries(starts).map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
        <label className="mt-3 block text-meta" htmlFor="retry-prompt">
          Prompt for {task.task.agent}, if it runs again
        </label>
        <textarea
          id="retry-prompt"
          className="field mt-1 h-20! w-full resize-y py-1.5"
          value={prompt}
          onChange={({ target }) => setPrompt(target.value)}
        />
      </Confirm>
    )
  return (
    <Confirm
      title={`Delete ${task.title}?`}
      keep="Keep it"
      verb="Delete task"
      doing="Deleting…"
      as={{ do: 'task-delete', task: task.id }}
      act={async () => {
        if (typed !== task.task_id)
          throw new ApiError(400, {
            error: {
              code: 'bad_request',
              message: `Type ${task.task_id} to delete it. It cannot be restored.`,
            },
          })
        await deleteTask(task.id)
        void client.invalidateQueries({ queryKey: ['tasks'] })
        await navigate({ to: '/tasks', search: {} })
      }}
      close={close}
    >
      Its log{task.artifact_count === 0 ? ' and' : ','} the{' '}
      {task.tries.length === 1 ? 'run of its try' : `runs of its ${task.tries.length} tries`}
      {task.artifact_count > 0 &&
        ` and ${task.artifact_count === 1 ? '1 artifact' : `${task.artifact_count} artifacts`}`}{' '}
      are deleted and cannot be restored.
      {task.pull_request !== undefined && ' Its pull request and branch stay.'}
      <label className="mt-3 block text-meta" htmlFor="delete-typed">
        Type <b className="font-mono text-ink">{task.task_id}</b>
      </label>
      <input
        id="delete-typed"
        className="field mt-1 w-full font-mono"
        value={typed}
        onChange={({ target }) => setTyped(target.value)}
        spellCheck={false}
        autoComplete="off"
      />
    </Confirm>
  )
}
