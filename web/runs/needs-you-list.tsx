import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { answerText, permissionText } from '../data/approvals.ts'
import type { Action } from '../data/as-command.ts'
import { clockOf } from '../data/clock.ts'
import { failuresQuery } from '../data/failures.ts'
import { answerApproval, askingName, askingWord, type Run } from '../data/runs.ts'
import { giveInput } from '../data/sessions.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton, type ActionButtonProps } from '../parts/action-button.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { useLeft } from '../parts/time-left.ts'
import { VisibleText } from '../parts/visible-text.tsx'
import { FailedList } from './failed-list.tsx'
import { failureGroups } from './failure-groups.ts'

const CopyAsCli = lazy(() => import('../parts/copy-as-cli.tsx'))

const STAYS_MS = 1500
const DEAF_MS = 500

interface Item {
  run: Run
  /** The message to show once it is answered. */
  said?: string | undefined
}

interface Leaving extends Item {
  at: number
  isOver?: boolean
}

/** Returns the runs, and in their places those that have just stopped asking. With `stays` these remain longer. */
function useItems(runs: readonly Run[], answers: ReadonlyMap<string, string>, stays: boolean): Item[] {
  const before = useRef<readonly Run[]>([])
  const [leaving, setLeaving] = useState<readonly Leaving[]>([])
  const staying = useRef(stays)
  staying.current = stays
  useLayoutEffect(() => {
    const gone = before.current.flatMap((run, at) =>
      runs.some((one) => one.run_id === run.run_id)
        ? []
        : [{ run, at, said: answers.get(keyOf(run)) ?? 'No longer asking' }],
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

/** Maximum number of lines of a command that can be answered in the list. */
const MOST_LINES = 6
/**
 * Reports whether the list shows the whole question: one that is cut or has many lines is answered on the run's page.
 */
const isWhole = (text = '') => !text.endsWith('…') && text.split('\n').length <= MOST_LINES

const keyOf = ({ run_id, now: { question } = {} }: Run) =>
  `${run_id} ${question && askingName(question)} ${question?.request_id ?? question?.text}`

/**
 * Reports whether the content of a list has just changed, so that another button may be under a finger or the
 * pointer.
 */
function useMoved(shown: string): boolean {
  const [announced, setAnnounced] = useState<string>()
  useEffect(() => {
    const timer = setTimeout(() => setAnnounced(shown), DEAF_MS)
    return () => clearTimeout(timer)
  }, [shown])
  return announced !== shown
}

/** Returns the place that asks, even if other parts of the run have failed or are running; a session has only one. */
function placeOf({ blueprint, now: { question } = {} }: Run): { step?: string } {
  if (question === undefined || (question.kind === 'agent' && blueprint === 'agent')) return {}
  return { step: askingName(question) }
}

/** Maximum number of each to show at once, if the list of runs still starts above the fold. */
const MOST = 5
/** Pixels to keep free below the section, for the filter, a heading and the first row. */
const FREE_PX = 280

interface Shown {
  questions: number
  groups: number
}

/**
 * Returns how many questions and groups of failures fit on the screen above the list of runs. Failures are cut first,
 * and one question always stays. A person who asked for all of them gets all.
 */
function useFit(there: Shown, of: string, isQuestion: boolean) {
  const section = useRef<HTMLElement>(null)
  const [fit, setFit] = useState<Shown>({ questions: MOST, groups: MOST })
  const before = useRef(of)
  const shrink = () => {
    const main = section.current?.closest('main')
    if (!main || isQuestion) return
    const most = Math.min(0.65 * main.clientHeight, main.clientHeight - FREE_PX)
    if (section.current!.offsetHeight <= most) return
    setFit((was) => {
      const [questions, groups] = [
        Math.min(was.questions, there.questions),
        Math.min(was.groups, there.groups),
      ]
      if (groups > 0) return { questions, groups: groups - 1 }
      return questions > 1 ? { questions: questions - 1, groups: was.groups } : was
    })
  }
  useLayoutEffect(() => {
    if (before.current === of) return shrink()
    before.current = of
    if (!isQuestion) setFit({ questions: MOST, groups: MOST })
  })
  const shrinkNow = useRef(shrink)
  shrinkNow.current = shrink
  const isThere = there.questions + there.groups > 0
  useEffect(() => {
    const main = section.current?.closest('main')
    if (!main || !isThere) return
    let height = main.clientHeight
    const observer = new ResizeObserver(() => {
      if (main.clientHeight > height) setFit({ questions: MOST, groups: MOST })
      height = main.clientHeight
      shrinkNow.current()
    })
    observer.observe(main)
    observer.observe(section.current!)
    return () => observer.disconnect()
  }, [isThere])
  return { section, fit }
}

interface ShowAllProps {
  all: number
  shown: number
  isAll: boolean
  set: (isAll: boolean) => void
  what: string
}

/** Shows the rest of a list and hides it again; shows nothing if there is no rest. */
function ShowAll({ all, shown, isAll, set, what }: ShowAllProps) {
  if (!isAll && shown >= all) return null
  return (
    <button
      type="button"
      aria-label={isAll ? `Show fewer ${what}` : `Show all ${all} ${what}`}
      className="button button-plain text-accent!"
      onClick={() => set(!isAll)}
    >
      {isAll ? 'Show fewer' : `Show all ${all}`}
    </button>
  )
}

interface NeedsYouProps {
  runs: readonly Run[]
  failures: readonly Run[]
  /** Items that no longer need anybody keep their places. */
  stays: boolean
}

/**
 * Lists runs that wait for an answer, which can be given in place, then failures not looked at yet. An item stays for
 * a moment after its answer and shows the result.
 */
export function NeedsYou({ runs, failures, stays }: NeedsYouProps) {
  const [answers, setAnswers] = useState<ReadonlyMap<string, string>>(new Map())
  const [isAll, setAll] = useState(false)
  const [isAllFailed, setAllFailed] = useState(false)
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set())
  const { data: { more = false } = {} } = useQuery(failuresQuery)
  const all = useItems(runs, answers, stays)
  const groups = useMemo(() => failureGroups(failures), [failures])
  const { section, fit } = useFit(
    { questions: all.length, groups: groups.length },
    [...all.map(({ run }) => keyOf(run)), ...groups.map(({ key }) => key)].join(),
    isAll || isAllFailed || groups.some(({ key }) => opened.has(key)),
  )
  const items = isAll ? all : all.slice(0, fit.questions)
  const deaf = useMoved(items.map(({ run }) => keyOf(run)).join())
  if (all.length + failures.length === 0) return null
  const mostGroups = isAllFailed ? groups.length : fit.groups
  const toggle = (key: string) => {
    const next = new Set(opened)
    if (!next.delete(key)) next.add(key)
    setOpened(next)
  }
  const set = (next: boolean, change: (isAll: boolean) => void) => {
    change(next)
    // The items that were on the screen are now hidden.
    if (!next) section.current?.scrollIntoView()
  }
  return (
    <section ref={section} aria-label="Needs you" className="px-edge pt-4" data-holds="needs">
      {all.length > 0 && (
        <>
          <h2 className="mb-1.5 flex min-h-7 items-center gap-2 font-semibold">
            Needs you <span className="chip bg-ask-soft font-medium text-ask">{runs.length}</span>
            <ShowAll
              all={all.length}
              shown={items.length}
              isAll={isAll}
              set={(next) => set(next, setAll)}
              what="questions"
            />
          </h2>
          <ul className="overflow-clip rounded-[10px] border border-line max-sm:flex max-sm:flex-col max-sm:gap-3 max-sm:overflow-visible max-sm:border-0">
            {items.map(({ run, said }) => (
              <Asking
                key={run.run_id}
                run={run}
                said={said}
                deaf={deaf}
                answered={(done) => setAnswers((before) => new Map([...before, [keyOf(run), done]]))}
              />
            ))}
          </ul>
        </>
      )}
      {groups.length > 0 && (
        <FailedList
          {...{ groups, more, opened, toggle }}
          most={mostGroups}
          rest={
            <ShowAll
              all={groups.length}
              shown={mostGroups}
              isAll={isAllFailed}
              set={(next) => set(next, setAllFailed)}
              what="failure groups"
            />
          }
        />
      )}
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
  const request = isWhole(question?.text) ? question?.request_id : undefined
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
        className={`min-w-0 flex-1 text-ink2 max-sm:order-3 max-sm:basis-full max-sm:whitespace-normal ${request === undefined ? 'truncate max-sm:line-clamp-5' : 'break-words'}`}
      >
        {run.blueprint === 'agent' ? (
          <bdi>{run.session?.agent ?? 'The agent'}</bdi>
        ) : (
          <>
            step <bdi className="font-medium text-ink">{question?.step}</bdi>
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
      <span className="text-meta text-ink2 max-sm:hidden">
        <bdi>{run.owner}</bdi>
      </span>
      {left !== undefined && left > 0 && (
        <span className="text-meta whitespace-nowrap text-ink2">
          {question?.kind === 'approval' && `will be ${taken} in `}
          <span className="font-medium text-ink">{clockOf(left)}</span>
          {question?.kind === 'agent' && ' left'}
        </span>
      )}
      {said !== undefined ? (
        <span role="status" className="font-medium text-ok">
          {said}
        </span>
      ) : left === 0 && question?.kind === 'approval' ? (
        <span className="text-meta text-ink2">time is up: {taken}</span>
      ) : question?.kind === 'approval' && isWhole(question.text) ? (
        <Answers
          key={keyOf(run)}
          {...{ run, deaf }}
          no={{
            word: 'Reject',
            doing: 'Rejecting…',
            act: answer('reject'),
            afterwards: answerText('reject', run.workflow_name),
            command: { do: 'reject', run: run.run_id, step: question.step },
          }}
          yes={{
            word: 'Approve',
            doing: 'Approving…',
            act: answer('approve'),
            afterwards: answerText('approve', run.workflow_name),
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
            afterwards: permissionText('deny', run.workflow_name),
            command: { do: 'answer', run: run.run_id, request, attempt: question?.attempt, answer: 'deny' },
          }}
          yes={{
            word: 'Allow once',
            doing: 'Allowing…',
            act: permit('allow'),
            afterwards: permissionText('allow', run.workflow_name),
            command: { do: 'answer', run: run.run_id, request, attempt: question?.attempt, answer: 'allow' },
          }}
        />
      ) : (
        <Link {...to} className="button max-sm:order-4 max-sm:h-11 max-sm:basis-full">
          {question?.kind === 'approval' ? 'Read in full…' : 'Open'}
        </Link>
      )}
    </li>
  )
}

interface Answer extends Pick<ActionButtonProps, 'doing' | 'act' | 'afterwards'> {
  word: string
  command: Action
}

/** Shows the answers: no on the left and yes on the right, always. */
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

/** Links the other places at which the run asks. */
function AskingToo({ run }: { run: Run }) {
  const { question, asked_too } = run.now ?? {}
  if (question === undefined || asked_too === undefined) return null
  const { count, places } = asked_too
  const all = [question, ...places]
  const link = 'mr-3 text-accent hover:underline max-sm:inline-flex max-sm:min-h-11 max-sm:items-center'
  return (
    <span className="block truncate text-meta max-sm:whitespace-normal">
      {count} more {count === 1 ? 'question' : 'questions'}:{' '}
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
