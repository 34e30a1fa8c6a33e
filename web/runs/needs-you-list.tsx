import { useQueryClient } from '@tanstack/react-query'
import { CheckCheck } from 'lucide-react'
import { lazy, Suspense, useEffect, useLayoutEffect, useRef, useState } from 'react'
import { saidOfAnswer, saidOfPermission } from '../data/approvals.ts'
import type { Action } from '../data/as-command.ts'
import { clockOf, hubNow } from '../data/clock.ts'
import { markSeen } from '../data/failures.ts'
import { answerApproval, askingName, askingWord, type Run, shownStatus } from '../data/runs.ts'
import { giveInput } from '../data/sessions.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton, type ActionButtonProps } from '../parts/action-button.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { useLeft } from '../parts/time-left.ts'
import { When } from '../parts/times.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import { RetryFailure } from '../run/retry-menu.tsx'

const CopyAsCli = lazy(() => import('../parts/copy-as-cli.tsx'))

const STAYS_MS = 1500
const DEAF_MS = 500
const MOST_FAILURES = 5

interface Item {
  run: Run
  /** Set once it is answered. */
  said?: string | undefined
}

interface Leaving extends Item {
  at: number
  isOver?: boolean
}

/** The runs, and in their place those that have just ceased to ask; they stay longer with `stays`. */
function useItems(runs: readonly Run[], answers: ReadonlyMap<string, string>, stays: boolean): Item[] {
  const before = useRef<readonly Run[]>([])
  const [leaving, setLeaving] = useState<readonly Leaving[]>([])
  const staying = useRef(stays)
  staying.current = stays
  useLayoutEffect(() => {
    const gone = before.current.flatMap((run, at) =>
      runs.some((one) => one.run_id === run.run_id)
        ? []
        : [{ run, at, said: answers.get(keyOf(run)) ?? 'Asks no more' }],
    )
    before.current = runs
    if (gone.length === 0) return
    const isGone = ({ run }: Item) => gone.some((one) => one.run.run_id === run.run_id)
    setLeaving((others) => [...others.filter((one) => !isGone(one)), ...gone])
    setTimeout(
      () =>
        setLeaving((others) =>
          others.flatMap((one) => (isGone(one) ? (staying.current ? { ...one, isOver: true } : []) : one)),
        ),
      STAYS_MS,
    )
  }, [runs, answers])
  useEffect(() => {
    if (!stays) setLeaving((others) => others.filter(({ isOver }) => !isOver))
  }, [stays])
  const items: Item[] = runs.map((run) => ({ run, said: answers.get(keyOf(run)) }))
  for (const { run, at, said } of leaving.filter(
    ({ run: { run_id } }) => !runs.some((one) => one.run_id === run_id),
  ))
    items.splice(at, 0, { run, said: answers.get(keyOf(run)) ?? said })
  return items
}

const keyOf = ({ run_id, now: { question } = {} }: Run) =>
  `${run_id} ${question && askingName(question)} ${question?.request_id ?? question?.text}`

/** Whether what stands in a list has just changed: then what is under a finger or the pointer may be another button. */
function useMoved(shown: string): boolean {
  const [heard, setHeard] = useState<string>()
  useEffect(() => {
    const timer = setTimeout(() => setHeard(shown), DEAF_MS)
    return () => clearTimeout(timer)
  }, [shown])
  return heard !== shown
}

/** The place that asks, whatever else of the run has failed or runs; a session has but one. */
function placeOf({ blueprint, now: { question } = {} }: Run): { step?: string } {
  if (question === undefined || (question.kind === 'agent' && blueprint === 'agent')) return {}
  return { step: askingName(question) }
}

interface NeedsYouProps {
  runs: readonly Run[]
  failures: readonly Run[]
  /** What needs nobody any more keeps its place. */
  stays: boolean
}

/**
 * Runs that wait for an answer, answered in place, then failures that were not looked at. An item stays a moment after its answer,
 * with what became of it.
 */
export function NeedsYou({ runs, failures, stays }: NeedsYouProps) {
  const client = useQueryClient()
  const [answers, setAnswers] = useState<ReadonlyMap<string, string>>(new Map())
  const all = useItems(runs, answers, stays)
  const deaf = useMoved(all.map(({ run }) => keyOf(run)).join())
  if (all.length + failures.length === 0) return null
  return (
    <section aria-label="Needs you" className="px-edge pt-4" data-holds="needs">
      <h2 className="mb-2 flex items-center gap-2 font-semibold">
        Needs you{' '}
        <span className="chip bg-ask-soft font-medium text-ask">{runs.length + failures.length}</span>
        {failures.length > 0 && (
          <span className="ml-auto flex items-center gap-3 font-normal">
            <span className="text-meta text-ink2 max-lg:hidden">
              Failures leave this list once you have opened them
            </span>
            <ActionButton
              kind="plain"
              doing="Marking…"
              act={() => markSeen(client, { until: new Date(hubNow() + 1000).toISOString() })}
            >
              <CheckCheck size={14} strokeWidth={1.75} aria-hidden /> Mark failures as seen
            </ActionButton>
          </span>
        )}
      </h2>
      <ul className="overflow-clip rounded-[10px] border border-line max-sm:flex max-sm:flex-col max-sm:gap-3 max-sm:overflow-visible max-sm:border-0">
        {all.map(({ run, said }) => (
          <Asking
            key={run.run_id}
            run={run}
            said={said}
            deaf={deaf}
            answered={(done) => setAnswers((before) => new Map([...before, [keyOf(run), done]]))}
          />
        ))}
        {failures.slice(0, MOST_FAILURES).map((run) => (
          <FailedItem key={run.run_id} run={run} />
        ))}
        {failures.length > MOST_FAILURES && (
          <li className="border-t border-line px-3 py-1.5 max-sm:border-0 max-sm:px-4">
            <Link
              to="/runs"
              search={{ status: 'failed,interrupted', user: failures[0]!.owner, latest: '1' }}
              className="inline-flex min-h-6 items-center text-meta text-accent max-sm:min-h-11"
            >
              {failures.length - MOST_FAILURES} more that failed
            </Link>
          </li>
        )}
      </ul>
    </section>
  )
}

interface AskingProps extends Item {
  deaf: boolean
  answered: (done: string) => void
}

function Asking({ run, said, deaf, answered }: AskingProps) {
  const question = run.now?.question
  const left = useLeft(question?.expires_at)
  const taken = question?.on_timeout === 'approve' ? 'approved' : 'rejected'
  const answer = (which: 'approve' | 'reject') => async (key: string) => {
    await answerApproval(run.run_id, which, question!.step, undefined, key)
    answered(which === 'approve' ? 'Approved' : 'Rejected')
  }
  const request = question?.request_id
  const permit = (decision: 'allow' | 'deny') => async (key: string) => {
    const { attempt } = question!
    await giveInput(run.run_id, { permission: { request_id: request!, decision }, attempt }, key)
    answered(decision === 'allow' ? 'Allowed' : 'Denied')
  }
  const to = {
    to: '/runs/$run',
    params: { run: run.run_id },
    search: placeOf(run),
    hash: question?.kind === 'approval' ? `question:${question.step}` : '',
  } as const
  return (
    <li className="flex min-h-[46px] items-center gap-3 border-t border-line px-3 py-1.5 shadow-[inset_3px_0_0_var(--ask-fill)] first:border-t-0 max-sm:flex-wrap max-sm:rounded-xl max-sm:border max-sm:border-ask-line max-sm:p-4 max-sm:first:border-t">
      <StatusMark shown="asks" />
      <Link
        {...to}
        className="w-48 shrink-0 truncate py-0.5 font-semibold max-sm:-my-3 max-sm:w-auto max-sm:flex-1 max-sm:py-3"
      >
        <bdi>{run.workflow_name}</bdi>
      </Link>
      <span
        className={`min-w-0 flex-1 text-ink2 max-sm:order-3 max-sm:basis-full max-sm:whitespace-normal ${request === undefined ? 'truncate' : 'break-words'}`}
      >
        {run.blueprint === 'agent' ? (
          <bdi>{run.session?.agent ?? 'The agent'}</bdi>
        ) : (
          <>
            step <span className="font-medium text-ink">{question?.step}</span>
          </>
        )}{' '}
        {request === undefined ? (
          <>
            asks: “<VisibleText text={question?.text ?? ''} />”
          </>
        ) : (
          <>
            wants to run{' '}
            <bdi
              data-command
              className="box-decoration-clone rounded bg-ask-soft px-1 py-0.5 font-mono text-meta whitespace-pre-wrap text-ink"
            >
              <VisibleText text={question!.text} />
            </bdi>
            {question!.folder !== undefined && (
              <>
                {' '}
                in{' '}
                <bdi className="font-mono text-meta">
                  <VisibleText text={question!.folder} />
                </bdi>
              </>
            )}
          </>
        )}
        <AskingToo run={run} />
      </span>
      <span className="text-meta text-ink2 max-sm:hidden">{run.owner}</span>
      {left !== undefined && left > 0 && (
        <span className="text-meta whitespace-nowrap text-ink2">
          {question?.kind === 'approval' && `${taken} in `}
          <span className="font-medium text-ink">{clockOf(left)}</span>
          {question?.kind === 'agent' && ' left'}
        </span>
      )}
      {said !== undefined ? (
        <span role="status" className="font-medium text-ok">
          {said}
        </span>
      ) : left === 0 && question?.kind === 'approval' ? (
        <span className="text-meta text-ink2">its time is over: {taken}</span>
      ) : question?.kind === 'approval' && !question.text.endsWith('…') ? (
        <Answers
          key={keyOf(run)}
          {...{ run, deaf }}
          no={{
            word: 'Reject',
            doing: 'Rejecting…',
            act: answer('reject'),
            afterwards: saidOfAnswer('reject', run.workflow_name),
            command: { do: 'reject', run: run.run_id, step: question.step },
          }}
          yes={{
            word: 'Approve',
            doing: 'Approving…',
            act: answer('approve'),
            afterwards: saidOfAnswer('approve', run.workflow_name),
            command: { do: 'approve', run: run.run_id, step: question.step },
          }}
        />
      ) : request !== undefined ? (
        <Answers
          key={keyOf(run)}
          {...{ run, deaf }}
          no={{
            word: 'Deny',
            doing: 'Denying…',
            act: permit('deny'),
            afterwards: saidOfPermission('deny', run.workflow_name),
            command: { do: 'answer', run: run.run_id, request, attempt: question?.attempt, answer: 'deny' },
          }}
          yes={{
            word: 'Allow once',
            doing: 'Allowing…',
            act: permit('allow'),
            afterwards: saidOfPermission('allow', run.workflow_name),
            command: { do: 'answer', run: run.run_id, request, attempt: question?.attempt, answer: 'allow' },
          }}
        />
      ) : (
        <Link {...to} className="button max-sm:order-4 max-sm:h-11 max-sm:basis-full">
          {question?.kind === 'approval' ? 'Read it whole…' : 'Open'}
        </Link>
      )}
    </li>
  )
}

interface Answer extends Pick<ActionButtonProps, 'doing' | 'act' | 'afterwards'> {
  word: string
  command: Action
}

/** No on the left and yes on the right, never the other way round. */
function Answers({ run, deaf, no, yes }: { run: Run; deaf: boolean; no: Answer; yes: Answer }) {
  const button = ({ word, doing, act, afterwards }: Answer, kind?: 'main') => (
    <ActionButton {...{ deaf, doing, act, afterwards, kind }}>{word}</ActionButton>
  )
  return (
    <span className="flex gap-2 max-sm:order-4 max-sm:basis-full max-sm:*:flex-1">
      {button(no)}
      {button(yes, 'main')}
      <Suspense fallback={<span className="size-7 max-sm:hidden" />}>
        <CopyAsCli
          of={run.workflow_name}
          actions={[yes, no].map(({ word, command }) => [word, command] as const)}
        />
      </Suspense>
    </span>
  )
}

/** Where else the run asks, each a link of its own. */
function AskingToo({ run }: { run: Run }) {
  const { question, asked_too } = run.now ?? {}
  if (question === undefined || asked_too === undefined) return null
  const { count, places } = asked_too
  const all = [question, ...places]
  const link = 'mr-3 text-accent hover:underline max-sm:inline-flex max-sm:min-h-11 max-sm:items-center'
  return (
    <span className="block truncate text-meta max-sm:whitespace-normal">
      {count} more {count === 1 ? 'asks' : 'ask'}:{' '}
      {places.map((place) => (
        <Link
          key={askingName(place)}
          to="/runs/$run"
          params={{ run: run.run_id }}
          search={{ step: askingName(place) }}
          className={link}
        >
          <bdi>{askingWord(place, all)}</bdi>
        </Link>
      ))}
      {count > places.length && (
        <Link to="/runs/$run" params={{ run: run.run_id }} search={{}} className={link}>
          and {count - places.length} more
        </Link>
      )}
    </span>
  )
}

function FailedItem({ run }: { run: Run }) {
  const failure = run.now?.failure
  const shown = shownStatus(run)
  const reason = failure?.reason ?? run.reason ?? shown
  const message = failure?.message ?? run.message
  return (
    <li
      className={`flex min-h-[46px] items-center gap-3 border-t border-line px-3 py-1.5 first:border-t-0 max-sm:flex-wrap max-sm:rounded-xl max-sm:border max-sm:p-4 max-sm:first:border-t ${shown === 'failed' ? 'shadow-[inset_3px_0_0_var(--bad)]' : 'shadow-[inset_3px_0_0_var(--gone)]'}`}
    >
      <StatusMark shown={shown} />
      <span className="w-48 shrink-0 truncate font-semibold max-sm:w-auto max-sm:flex-1">
        <bdi>{run.workflow_name}</bdi>
      </span>
      <span className="min-w-0 flex-1 truncate text-ink2 max-sm:order-3 max-sm:line-clamp-2 max-sm:basis-full max-sm:whitespace-normal">
        {failure !== undefined && (
          <>
            step <span className="font-medium text-ink">{failure.step}</span> failed
            {failure.host !== undefined && failure.host !== 'local' && (
              <>
                {' '}
                on <span className="font-mono">{failure.host}</span>
              </>
            )}
            :{' '}
          </>
        )}
        <span className={`font-mono ${shown === 'failed' ? 'text-bad' : 'text-gone'}`}>{reason}</span>
        {message !== undefined && (
          <>
            {' '}
            · “<bdi>{message}</bdi>”
          </>
        )}
      </span>
      <span className="text-meta whitespace-nowrap text-ink2">
        <When time={run.finished_at ?? run.created_at} />
      </span>
      {failure !== undefined && (
        <Link
          to="/runs/$run"
          params={{ run: run.run_id }}
          search={{
            step: failure.host === undefined ? failure.step : `${failure.step}@${failure.host}`,
            tab: 'log',
          }}
          aria-label={`Last lines on stderr of ${failure.step}`}
          title="Its log, at the last lines on stderr"
          className="inline-flex min-h-6 items-center text-meta text-accent hover:underline max-sm:order-3 max-sm:-my-3 max-sm:min-h-11 max-sm:basis-full"
        >
          stderr
        </Link>
      )}
      <span className="flex gap-2 max-sm:order-4 max-sm:basis-full max-sm:*:flex-1">
        {run.blueprint === 'workflow' && <RetryFailure run={run} />}
        <Link
          to="/runs/$run"
          params={{ run: run.run_id }}
          aria-label={`Open ${run.workflow_name}, which failed`}
          className="button max-sm:h-11"
        >
          Open
        </Link>
      </span>
    </li>
  )
}
