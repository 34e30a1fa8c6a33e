import { useQueryClient } from '@tanstack/react-query'
import { FileText, GitPullRequest, ListChecks, MessageSquare, ShieldAlert, Target } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import type { ApiError } from '../data/api.ts'
import type { StoredChange } from '../data/change.ts'
import type { Step } from '../data/runs.ts'
import {
  answerTask,
  followTask,
  isOverTask,
  issueNumber,
  promptTask,
  repoName,
  type TaskDetail,
  webAddress,
} from '../data/tasks.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { useJudged } from '../parts/diff/changes.tsx'
import { kindOfPath } from '../parts/diff/kinds-of-file.ts'
import { LongText } from '../parts/long-text.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { When } from '../parts/times.tsx'
import { unsentOf } from '../parts/unsent.ts'

interface Props {
  task: TaskDetail
  change: StoredChange | undefined
  /** The question of the step that waits for a person. */
  asks: Step['approval'] | undefined
}

/** Shows the known facts about a task, and the source of each. */
export function TaskFacts({ task, change, asks }: Props) {
  return (
    <div className="flex flex-col gap-3 max-lg:grid max-lg:grid-cols-2 max-lg:items-start max-md:flex max-md:items-stretch">
      {task.state === 'waiting' && <NeedsYou task={task} asks={asks} />}
      <TaskStatus task={task} />
      {task.pull_request !== undefined && <PullRequest task={task} />}
      <Tests task={task} change={change} />
      <Criteria task={task} />
      <Description task={task} />
      {task.run_id !== undefined && task.state !== 'waiting' && <Prompt task={task} />}
    </div>
  )
}

function Card({
  icon: Icon,
  title,
  beside,
  children,
}: {
  icon: typeof Target
  title: ReactNode
  beside?: ReactNode
  children: ReactNode
}) {
  return (
    <section className="rounded-lg border border-line bg-surface">
      <h2 className="flex min-h-9 items-center gap-2 border-b border-line px-3 font-medium">
        <Icon size={14} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink2" />
        <span className="flex shrink-0 items-center gap-2">{title}</span>
        <span className="ml-auto min-w-0 truncate text-meta font-normal text-ink2">{beside}</span>
      </h2>
      <div className="px-3 py-2.5">{children}</div>
    </section>
  )
}

/** Says in the hub's words where the work of an ended or waiting task stands. */
function TaskStatus({ task }: { task: TaskDetail }) {
  const { state, message, why, retry_at, depends_on } = task
  const open = depends_on.filter((one) => one.state !== 'done')
  const words = state === 'waiting' ? undefined : (why ?? message)
  if (words === undefined && open.length === 0) return null
  const tone =
    state === 'failed' ? 'bg-bad-soft' : state === 'blocked' || why !== undefined ? 'bg-ask-soft' : 'bg-idle'
  return (
    <div className={`rounded-lg px-3 py-2.5 text-meta ${tone}`}>
      {words !== undefined && <LongText text={words} />}
      {retry_at !== undefined && (
        <p className="mt-1 text-ink2">
          The next try starts at <When time={retry_at} />.
        </p>
      )}
      {open.map((one) => (
        <p key={one.id} className="mt-1 text-ink2">
          depends on{' '}
          <Link
            to="/tasks/$task"
            params={{ task: one.id }}
            search={{}}
            className="text-accent hover:underline"
          >
            {one.task_id}
          </Link>
          , which is {one.state}
        </p>
      ))}
    </div>
  )
}

function NeedsYou({ task, asks }: Pick<Props, 'task' | 'asks'>) {
  const client = useQueryClient()
  const [comment, setComment] = useState('')
  const [failure, setFailure] = useState<ApiError>()
  const text = asks?.message ?? task.message ?? 'Waiting for a person.'
  const answer = (decision: 'approve' | 'reject') => async (key: string) => {
    setFailure(undefined)
    await answerTask(task.id, decision, comment.trim() === '' ? undefined : comment, key)
    setComment('')
    await client.invalidateQueries({ queryKey: ['task', task.id] })
  }
  return (
    <section
      aria-label="Needs you"
      className="rounded-lg border border-(--ask-line) bg-ask-soft px-3 py-3 max-lg:col-span-2"
    >
      <h2 className="flex items-center gap-2 font-semibold">
        <StatusMark shown="asks" beside /> Needs your answer
      </h2>
      <p className="mt-2 break-words whitespace-pre-wrap">
        <bdi>{text}</bdi>
      </p>
      {asks !== undefined && (
        <>
          <label className="sr-only" htmlFor="answer-comment">
            Comment
          </label>
          <textarea
            id="answer-comment"
            className="field mt-3 h-16! w-full resize-y py-1.5"
            placeholder="Comment; for a plan, say what to change"
            value={comment}
            onChange={({ target }) => setComment(target.value)}
          />
          <div className="mt-2 flex gap-2 max-sm:*:flex-1">
            <ActionButton doing="Rejecting…" act={answer('reject')} onFailure={setFailure}>
              Reject
            </ActionButton>
            <ActionButton kind="main" doing="Approving…" act={answer('approve')} onFailure={setFailure}>
              Approve
            </ActionButton>
            <CopyAsCli
              actions={[
                ['Approve', { do: 'task-approve', task: task.id, comment: comment.trim() }],
                ['Reject', { do: 'task-reject', task: task.id, comment: comment.trim() }],
              ]}
            />
          </div>
        </>
      )}
      {failure !== undefined && (
        <div className="mt-2">
          <Failure error={failure} />
        </div>
      )}
    </section>
  )
}

function PullRequest({ task }: { task: TaskDetail }) {
  const client = useQueryClient()
  const { url, state, draft } = task.pull_request!
  const link = webAddress(url)
  const tone = { open: 'bg-ok-soft text-ok', merged: 'bg-gone-soft text-gone', closed: '' }[state]
  const following = task.follow?.state === 'on'
  return (
    <Card
      icon={GitPullRequest}
      title={
        <>
          {link === undefined ? (
            <span>Pull request</span>
          ) : (
            <a href={link} target="_blank" rel="noopener noreferrer" className="reach hover:underline">
              Pull request {issueNumber(link)}
            </a>
          )}
          <span className={`chip ${draft && state === 'open' ? '' : tone}`}>
            {draft && state === 'open' ? 'draft' : state}
          </span>
        </>
      }
      beside={task.repo === undefined ? undefined : repoName(task.repo)}
    >
      {task.pushed !== undefined && (
        <p className="flex gap-2 text-meta text-ink2">
          <bdi className="truncate font-mono">{task.pushed.branch}</bdi>
          <span className="ml-auto font-mono">{task.pushed.sha.slice(0, 8)}</span>
        </p>
      )}
      {!isOverTask(task.state) && (
        <div className="mt-2 flex items-center gap-2 border-t border-line pt-2 text-meta text-ink2">
          <span className="min-w-0">
            {following
              ? `Check results and reviews go back to ${task.task.agent}${task.follow!.tries > 0 ? ` (${task.follow!.tries} ${task.follow!.tries === 1 ? 'try' : 'tries'} so far)` : ''}.`
              : (task.follow?.message ?? 'Checks and reviews are not followed.')}
          </span>
          <span className="ml-auto" />
          <ActionButton
            doing={following ? 'Stopping…' : 'Starting…'}
            act={async (key) => {
              await followTask(task.id, !following, key)
              await client.invalidateQueries({ queryKey: ['task', task.id] })
            }}
          >
            {following ? 'Stop following' : 'Follow'}
          </ActionButton>
          <CopyAsCli
            of="follow"
            actions={[['Follow', { do: 'task-follow', task: task.id, follow: !following }]]}
          />
        </div>
      )}
    </Card>
  )
}

/** Maximum number of failed tests to name. */
const MOST_NAMES = 12

function Tests({ task, change }: Pick<Props, 'task' | 'change'>) {
  const judged = useJudged(change) ?? []
  const kindOf = ({ path, kind }: (typeof judged)[number]) => kind ?? kindOfPath(path)
  const apart = (['test', 'ci', 'hook', 'owners'] as const).flatMap((kind) => {
    const count = judged.filter((file) => kindOf(file) === kind).length
    return count === 0 ? [] : [{ kind, count }]
  })
  const words = { test: 'test', ci: 'CI', hook: 'hook', owners: 'code owners' }
  const { tests } = task
  const sum = (name: 'passed' | 'failed' | 'skipped') => tests.reduce((all, one) => all + one[name], 0)
  const [passed, failed, skipped] = [sum('passed'), sum('failed'), sum('skipped')]
  const names = tests.flatMap(({ failed_names }) => failed_names)
  const ms = tests.reduce((all, { duration_ms = 0 }) => all + duration_ms, 0)
  const commands = task.task.test_commands?.join('; ')
  return (
    <Card icon={ListChecks} title="Tests" beside={<bdi title={commands}>{commands ?? tests[0]?.suite}</bdi>}>
      {tests.length === 0 ? (
        <p className="text-meta text-ink2">
          {task.run_id === undefined && task.tries.length > 0
            ? 'No test results were stored.'
            : 'No tests have run yet.'}
        </p>
      ) : (
        <>
          <p className="flex items-baseline gap-3 text-meta text-ink2">
            <span>
              <b className="text-run font-semibold text-ok">{passed}</b> passed
            </span>
            <span>
              <b className={`text-run font-semibold ${failed > 0 ? 'text-bad' : 'text-ink'}`}>{failed}</b>{' '}
              failed
            </span>
            <span>
              <b className="text-run font-semibold text-ink">{skipped}</b> skipped
            </span>
            {ms > 0 && <span className="ml-auto">{(ms / 1000).toFixed(1)} s</span>}
          </p>
          <Bar figures={{ passed, failed, skipped }} />
          {names.length > 0 && (
            <ul className="mt-2 flex flex-col gap-1 text-meta" aria-label="Failed tests">
              {names.slice(0, MOST_NAMES).map((name, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: two may have one name
                <li key={index} className="flex gap-2">
                  <span className="mt-0.5">
                    <StatusMark shown="failed" size={13} beside />
                  </span>
                  <bdi className="min-w-0 break-words">{name}</bdi>
                </li>
              ))}
              {names.length > MOST_NAMES && (
                <li className="text-ink2">and {names.length - MOST_NAMES} more, in the log</li>
              )}
            </ul>
          )}
        </>
      )}
      {apart.length > 0 && (
        <p className="mt-2 flex items-start gap-1.5 text-meta text-ask">
          <ShieldAlert size={14} strokeWidth={1.75} aria-hidden className="mt-0.5 shrink-0" />
          <span>
            The agent changed{' '}
            {apart
              .map(({ kind, count }) => `${count} ${words[kind]} ${count === 1 ? 'file' : 'files'}`)
              .join(', ')}
          </span>
        </p>
      )}
    </Card>
  )
}

function Bar({
  figures: { passed, failed, skipped },
}: {
  figures: Record<'passed' | 'failed' | 'skipped', number>
}) {
  const all = passed + failed + skipped
  if (all === 0) return null
  return (
    <div aria-hidden="true" className="mt-1 flex h-1.5 gap-0.5">
      {(
        [
          [passed, 'bg-ok'],
          [failed, 'bg-bad'],
          [skipped, 'bg-(--line2)'],
        ] as const
      ).map(
        ([count, tone]) =>
          count > 0 && (
            <span key={tone} className={`min-w-1 rounded-full ${tone}`} style={{ flexGrow: count }} />
          ),
      )}
    </div>
  )
}

function Criteria({ task }: { task: TaskDetail }) {
  const { acceptance_criteria: criteria } = task.task
  if (criteria.length === 0) return null
  return (
    <Card
      icon={Target}
      title="Criteria"
      beside={criteria.length === 1 ? 'not verified yet' : `none of ${criteria.length} verified yet`}
    >
      <ul aria-label="Criteria" className="flex flex-col gap-2.5">
        {criteria.map((criterion, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: two may read the same
          <li key={index} className="flex gap-2">
            <span className="mt-0.5">
              <StatusMark shown="ahead" size={15} beside />
            </span>
            <span className="min-w-0">
              <bdi className="block break-words whitespace-pre-wrap">{criterion}</bdi>
              <span className="text-label text-ink2">no evidence yet</span>
            </span>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Description({ task }: { task: TaskDetail }) {
  const { description, instructions, issue, ref } = task.task
  const link = webAddress(issue)
  return (
    <Card
      icon={FileText}
      title="Task"
      beside={<bdi>{task.repo === undefined ? '' : repoName(task.repo)}</bdi>}
    >
      {description.trim() === '' ? (
        <p className="text-meta text-ink2">No description.</p>
      ) : (
        <LongText text={description} />
      )}
      {instructions !== undefined && (
        <LongText text={instructions} className="mt-2 border-t border-line pt-2 text-ink2" />
      )}
      <p className="mt-2 flex flex-wrap gap-x-3 text-label text-ink2">
        <span>
          created <When time={task.created_at} />
        </span>
        {ref !== undefined && <bdi>on {ref}</bdi>}
        {link !== undefined && (
          <a className="text-accent hover:underline" href={link} target="_blank" rel="noopener noreferrer">
            issue {issueNumber(link)}
          </a>
        )}
      </p>
    </Card>
  )
}

/** The field for a prompt to the agent at work. */
function Prompt({ task }: { task: TaskDetail }) {
  const [text, setText] = useState('')
  const { agent } = task.task
  return (
    <Card icon={MessageSquare} title={`Message ${agent}`} beside="working">
      <label className="sr-only" htmlFor="task-prompt">
        Prompt for {agent}
      </label>
      <textarea
        id="task-prompt"
        className="field h-16! w-full resize-y py-1.5"
        placeholder="Prompt; the agent reads it when its turn ends"
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <div className="mt-2 flex justify-end">
        <ActionButton
          doing="Sending…"
          act={async (key) => {
            if (text.trim() === '') return
            await promptTask(task.id, text, key)
            setText((now) => unsentOf(now, text))
          }}
        >
          Send
        </ActionButton>
        {text.trim() !== '' && (
          <CopyAsCli
            of="the prompt"
            actions={[['Send', { do: 'task-prompt', task: task.id, prompt: text }]]}
          />
        )}
      </div>
    </Card>
  )
}
