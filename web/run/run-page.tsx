import { useQuery } from '@tanstack/react-query'
import { ChevronLeft, GitCompareArrows, Share2, User } from 'lucide-react'
import { lazy, Suspense, useEffect, useState } from 'react'
import { ApiError } from '../data/api.ts'
import { countOf } from '../data/instances.ts'
import { feedStart, type RunFeed, useRunFeed } from '../data/run-feed.ts'
import {
  type AskingPlace,
  askingName,
  askingWord,
  outlineQuery,
  type RunDetail,
  routeOf,
  runQuery,
  shownStatus,
  shownStep,
} from '../data/runs.ts'
import { Link, useHash, useNavigate, useParam, useSearch } from '../navigation/navigation.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { useHeldKeys } from '../parts/held-keys.ts'
import { later } from '../parts/later.tsx'
import { fetchLog } from '../parts/log/log.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { Took, Waited, When } from '../parts/times.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import {
  failedInstances,
  firstOf,
  type InstanceRef,
  instanceName,
  instanceOfAttempt,
  instanceWord,
} from './chosen-instance.ts'
import { useChosenPath } from './chosen-path.ts'
import { InstanceView } from './instance-view.tsx'
import { RetryMenu, RunChain } from './retry-menu.tsx'
import { linesOf, questionOf } from './run-search.ts'
import { useRunKeys, useView, useWindow, ViewSwitch } from './run-views.tsx'
import { StepInstances, StepList } from './step-list.tsx'

const RollBack = later(async () => ({ default: (await import('./run-actions.tsx')).RollBack }))
const CancelRun = later(async () => ({ default: (await import('./run-actions.tsx')).CancelRun }))
const AgainstLastGood = later(async () => ({ default: (await import('./run-actions.tsx')).AgainstLastGood }))
const EndNow = later(async () => ({ default: (await import('./run-actions.tsx')).EndNow }))
const SetAsideNotice = later(async () => ({
  default: (await import('../parts/set-aside-notice.tsx')).SetAsideNotice,
}))
const NotYours = lazy(() => import('../parts/share/not-yours.tsx'))
const ShareSheet = lazy(() => import('../parts/share/share-sheet.tsx'))
const StepAlone = lazy(() => import('./step-alone.tsx'))
const CompareView = lazy(() => import('./compare-view.tsx'))
const TimelineView = lazy(() => import('./timeline/timeline-view.tsx'))
const GraphView = later(() => import('./graph/graph-view.tsx'))

const SessionPage = lazy(async () => ({ default: (await import('../session/session-page.tsx')).SessionPage }))

type RunQuestion = ReturnType<typeof questionOf>

/** Shows an agent's run as a conversation; addresses lead to its steps and log. */
function AgentRun({ run, question }: { run: RunDetail; question: RunQuestion }) {
  const feed = useRunFeed(run.run_id)
  if (feed === undefined) return null
  return (
    <Suspense fallback={<main className="flex-1" aria-busy="true" />}>
      <SessionPage run={run} feed={feed} question={question?.id} />
    </Suspense>
  )
}

const isOver = ({ status }: RunDetail) => status !== 'queued' && status !== 'running'

/** Returns the status to show for the run, as last read from the hub; an open question takes precedence. */
function shownRun(run: RunDetail) {
  const askingStep = run.steps.find((step) => shownStep(step) === 'asks')
  if (askingStep !== undefined && !isOver(run) && run.set_aside === undefined) return 'asks' as const
  return shownStatus(run)
}

export function RunPage() {
  const id = useParam('run')
  const { step, tab } = useSearch('/runs/$run')
  const hash = useHash()
  const { data: run, error } = useQuery(runQuery(id))
  // Fetch data that most views show while the run itself is being fetched.
  useQuery({ ...outlineQuery(id), notifyOnChangeProps: [] })
  useEffect(() => {
    fetchLog()
    for (const part of [GraphView, StepInstances, RollBack, AgainstLastGood]) part.fetch()
  }, [])
  useHeldKeys(run === undefined && error === null)
  // The link of a notice names the step too.
  const isTalk = tab === undefined && (step === undefined || questionOf(hash) !== undefined)
  if (run?.blueprint === 'agent' && isTalk) return <AgentRun key={id} run={run} question={questionOf(hash)} />
  if (run !== undefined) return <ShownRun key={id} run={run} />
  if (error === null) return <main className="flex-1" aria-busy="true" />
  if (error instanceof ApiError && error.status === 404)
    return (
      <Suspense fallback={<main className="flex-1" aria-busy="true" />}>
        <NotYours what="run" id={id} to="/runs" />
      </Suspense>
    )
  return (
    <main className="flex flex-1 flex-col items-center justify-center gap-4 px-edge text-center">
      <h1 className="text-empty font-semibold">{error.message}</h1>
      <Link to="/runs" className="button">
        Back to runs
      </Link>
    </main>
  )
}

function ShownRun({ run }: { run: RunDetail }) {
  const search = useSearch('/runs/$run')
  const hash = useHash()
  const navigate = useNavigate('/runs/$run')
  const feed = useRunFeed(run.run_id, feedStart(run))
  const [canceling, setCanceling] = useState(false)
  const [sharing, setSharing] = useState(false)
  const [listed, setListed] = useState(false)
  const linked = linesOf(hash)
  const question = questionOf(hash)
  const asking =
    run.steps.find(({ step, approval }) => step === question?.id && approval !== undefined)?.step ??
    agentAsking(run, question)
  const target =
    linked?.step ?? (question?.attempt === undefined ? search.step : asking) ?? search.step ?? asking
  const { path, pending } = useChosenPath(run, target)
  const chosen = path[0]?.place
  const shown = shownRun(run)
  useEffect(() => {
    document.title = `${run.workflow_name} ${statusWord(shown)} · Errand`
  }, [run.workflow_name, shown])
  const open = (names: readonly string[]) => {
    setListed(false)
    void navigate({ search: ({ view, q }) => ({ view, q, step: names.join(' > ') }), hash: '' })
  }
  const choose = (ref: InstanceRef) => open([instanceName(ref)])
  const view = useView(search, run)
  const isPhone = useWindow('(max-width: 639px)')
  const inputs = Object.entries(run.vars)
  useRunKeys({
    ...{ run, chosen, choose },
    compare: () =>
      void navigate({ search: (was) => ({ ...was, compare: was.compare ? undefined : 'last-good' }) }),
    cancel: isOver(run) ? undefined : () => setCanceling(true),
  })
  const actions = (
    <>
      <Link
        from="/runs/$run"
        search={(was) => ({ ...was, compare: was.compare ? undefined : 'last-good' })}
        className="button button-plain"
      >
        <GitCompareArrows size={14} strokeWidth={1.75} aria-hidden /> Compare
        <kbd className="key max-sm:hidden">C</kbd>
      </Link>
      {isOver(run) && (
        <Suspense fallback={null}>
          <RollBack run={run} />
        </Suspense>
      )}
      {!isOver(run) && run.cancel !== undefined && (
        <Suspense fallback={null}>
          <EndNow run={run} />
        </Suspense>
      )}
      <RetryMenu run={run} path={path} />
      {!isOver(run) && (
        <button type="button" className="button button-quiet-bad" onClick={() => setCanceling(true)}>
          Cancel…
        </button>
      )}
    </>
  )
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-edge max-sm:h-14 max-sm:px-3">
        <Link
          to="/runs"
          aria-label="Runs"
          className="-mx-1.5 hidden size-11 items-center justify-center max-sm:flex"
        >
          <ChevronLeft size={22} strokeWidth={1.75} aria-hidden />
        </Link>
        <nav aria-label="Breadcrumb" className="flex min-w-0 items-center gap-2 text-ink2">
          <Link to="/runs" className="reach hover:text-ink max-sm:hidden">
            Runs
          </Link>
          <span className="text-ink3 max-sm:hidden">/</span>
          <bdi className="truncate max-sm:hidden">{run.workflow_name}</bdi>
          <span className="text-ink3 max-sm:hidden">/</span>
          <span className="truncate font-mono text-meta sm:shrink-0">{run.run_id}</span>
          <CopyButton text={run.run_id} label="Copy run ID" />
        </nav>
        <div className="ml-auto flex gap-2">
          <button
            type="button"
            className="button button-plain"
            aria-haspopup="dialog"
            aria-label="Share"
            onClick={() => setSharing(true)}
          >
            <Share2 size={14} strokeWidth={1.75} aria-hidden /> {!isPhone && 'Share'}
          </button>
          {!isPhone && actions}
        </div>
      </header>
      <div className="flex shrink-0 items-center gap-3 border-b border-line px-edge py-3 max-sm:flex-wrap max-sm:items-start">
        <StatusMark shown={shown} size={24} />
        <div className="min-w-0 flex-1">
          <div className="flex flex-wrap items-center gap-x-2">
            <h1 className="truncate text-run font-semibold">
              <bdi>{run.workflow_name}</bdi>
            </h1>
            <Chip shown={shown} />
            <span className="truncate text-meta text-ink2">
              <bdi>{summary(run)}</bdi>
            </span>
          </div>
          <div className="mt-0.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-meta text-ink2">
            <span className="flex items-center gap-1.5">
              <User size={13} strokeWidth={1.75} aria-hidden /> <bdi>{run.owner}</bdi>
            </span>
            <span>
              <When time={run.started_at ?? run.created_at} />
              {run.started_at === undefined
                ? ', '
                : run.finished_at === undefined
                  ? ', running for '
                  : ', took '}
              <Took of={run} />
              <Waited of={run} className="ml-2" />
            </span>
            {inputs.slice(0, 4).map(([name, value]) => (
              <span key={name} className="chip max-w-48 font-mono max-sm:hidden">
                <bdi className="truncate">
                  {name}=
                  <b className="font-semibold text-ink">
                    <VisibleText text={value} />
                  </b>
                </bdi>
              </span>
            ))}
            {inputs.length > 4 && <span className="max-sm:hidden">+{inputs.length - 4}</span>}
            <RunChain run={run} />
            <Suspense fallback={null}>
              <AgainstLastGood run={run} />
            </Suspense>
            {run.rolls_back !== undefined && (
              <Link to="/runs/$run" params={{ run: run.rolls_back }} className="text-accent hover:underline">
                rolls back {run.rolls_back}
              </Link>
            )}
          </div>
        </div>
        <span className="max-sm:basis-full">
          <RouteLine route={routeOf(run)} width={isPhone ? 356 : undefined} />
        </span>
      </div>
      {run.set_aside !== undefined && (
        <Suspense fallback={null}>
          <SetAsideNotice run={run} />
        </Suspense>
      )}
      <Questions run={run} chosen={chosen} open={open} />
      {view === 'graph' && search.compare === undefined && (
        <Suspense
          fallback={<div className="h-[140px] shrink-0 border-b border-line bg-canvas max-sm:hidden" />}
        >
          <GraphView run={run} chosen={chosen} choose={choose} views={<ViewSwitch view={view} />} />
        </Suspense>
      )}
      {search.compare !== undefined ? (
        <Suspense fallback={<main className="flex-1" aria-busy="true" />}>
          <CompareView key={search.compare} run={run} compare={search.compare} />
        </Suspense>
      ) : view === 'timeline' ? (
        <Suspense fallback={<main className="flex-1" aria-busy="true" />}>
          <TimelineView
            {...{ run, chosen }}
            open={(place) =>
              navigate({ search: ({ q }) => ({ view: 'list', q, step: instanceName(place) }), hash: '' })
            }
            views={<ViewSwitch view={view} />}
          />
        </Suspense>
      ) : (
        <main className="flex min-h-0 flex-1 max-sm:flex-col">
          <div
            className={`w-[288px] shrink-0 overflow-y-auto border-r border-line pb-4 max-lg:w-56 max-sm:w-full max-sm:border-r-0 ${listed ? 'max-sm:max-h-[40%] max-sm:border-b' : 'max-sm:hidden'}`}
          >
            <StepList
              run={run}
              path={path}
              open={open}
              views={view === 'graph' ? undefined : <ViewSwitch view={view} small />}
            />
          </div>
          {!listed && (
            <button
              type="button"
              className="hidden h-11 shrink-0 items-center gap-2 border-b border-line px-4 text-ink2 max-sm:flex"
              onClick={() => setListed(true)}
            >
              <ChevronLeft size={16} strokeWidth={1.75} aria-hidden /> All steps ({run.steps.length})
            </button>
          )}
          {pending ? (
            <section aria-label="Step" aria-busy="true" className="flex-1" />
          ) : chosen === undefined || feed === undefined ? (
            <p className="p-5 text-ink2">{run.waiting ?? 'Nothing has started yet.'}</p>
          ) : (
            <Opened
              key={path.map(({ place }) => `${place.step.phase} ${instanceName(place)}`).join(' > ')}
              {...{ path, feed, search, open }}
              lines={linked?.lines}
              linked={question?.id}
            />
          )}
        </main>
      )}
      {isPhone && <div className="flex gap-3 border-t border-line p-3 *:flex-1">{actions}</div>}
      {sharing && (
        <Suspense>
          <ShareSheet run={run} link={location.href} close={() => setSharing(false)} />
        </Suspense>
      )}
      {canceling && (
        <Suspense>
          <CancelRun run={run} close={() => setCanceling(false)} />
        </Suspense>
      )}
    </>
  )
}

interface OpenedProps extends Omit<Parameters<typeof InstanceView>[0], 'feed'> {
  feed: RunFeed
}

/** Shows the place that the path leads to, in the run or in one that it has started. */
function Opened({ feed, ...props }: OpenedProps) {
  const { path } = props
  const { run, place } = path.at(-1)!
  const inner = useRunFeed(path.length > 1 ? run.run_id : undefined, feedStart(run))
  const own = path.length > 1 ? inner : feed
  if (place.bare)
    return (
      <Suspense fallback={<section className="flex-1" aria-busy="true" />}>
        <StepAlone path={path} open={props.open} />
      </Suspense>
    )
  if (own === undefined) return <section className="flex-1" aria-busy="true" />
  return <InstanceView {...props} feed={own} />
}

/** Describes the state of a run in one sentence. */
function summary(run: RunDetail): string {
  if (!isOver(run)) return run.waiting ?? (run.cancel === undefined ? progress(run) : canceledBy(run.cancel))
  const failed = run.steps.filter(({ status }) => status === 'failed' || status === 'interrupted')
  if (failed.length > 0) {
    const first = failed[0]!
    if (first.reason === 'child_failed' && run.message !== undefined) return run.message
    const bad = countOf(first) - countOf(first, 'success', 'skipped')
    const on =
      countOf(first) > 1 && bad === 1
        ? ` on ${instanceWord(failedInstances([first])[0] ?? firstOf(first))}`
        : ''
    const not = run.steps.filter(({ status }) => status === 'skipped').length
    const rest = not > 0 ? `, ${not} ${not === 1 ? 'step' : 'steps'} did not run` : ''
    return `${first.step} ${first.status}${on}${rest}`
  }
  return run.message ?? ''
}

/** Describes the progress of the running step that has several instances. */
function progress({ steps }: RunDetail): string {
  const step = steps.findLast((one) => one.status === 'running' && countOf(one) > 1)
  if (step === undefined) return ''
  const failed = countOf(step, 'failed', 'interrupted')
  const done = `${step.step} · ${figure(countOf(step, 'success'))} of ${figure(countOf(step))}`
  return failed === 0 ? done : `${done} · ${figure(failed)} failed`
}

const figure = (count: number) => count.toLocaleString('en')

const canceledBy = ({ by }: NonNullable<RunDetail['cancel']>) =>
  `is being canceled${by === undefined ? '' : ` by ${by}`}`

const tones: Record<string, string> = {
  success: 'bg-ok-soft text-ok',
  failed: 'bg-bad-soft text-bad',
  running: 'bg-accent-soft text-accent',
  asks: 'bg-ask-soft text-ask',
  room: 'bg-ask-soft text-ask',
  aside: 'bg-bad-soft text-bad',
  interrupted: 'bg-gone-soft text-gone',
}
function Chip({ shown }: { shown: ReturnType<typeof shownRun> }) {
  return <span className={`chip ${tones[shown] ?? ''}`}>{statusWord(shown)}</span>
}

/** Returns the name of the place whose agent asks, if a link names a question that is not a step's own. */
function agentAsking({ now, steps }: RunDetail, question: RunQuestion): string | undefined {
  if (question === undefined) return undefined
  const place = question.attempt === undefined ? undefined : instanceOfAttempt(steps, question.attempt)
  if (place !== undefined) return instanceName(place)
  return now?.question?.kind === 'agent' ? askingName(now.question) : undefined
}

/** Lists the places where a run asks, if there are several: one touch chooses one. */
function Questions({
  run,
  chosen,
  open,
}: {
  run: RunDetail
  chosen: InstanceRef | undefined
  open: (names: readonly string[]) => void
}) {
  const { question, asked_too } = run.now ?? {}
  if (isOver(run) || question === undefined || asked_too === undefined) return null
  const all = [question, ...asked_too.places]
  const more = asked_too.count - asked_too.places.length
  const isAt = ({ kind, step, host, instance }: AskingPlace) =>
    chosen?.step.step === step &&
    (kind === 'approval' || chosen.instance.host === host) &&
    (instance === undefined || chosen.index === instance)
  return (
    <nav
      aria-label="Questions"
      className="flex shrink-0 flex-wrap items-center gap-2 border-b border-ask-line bg-ask-soft px-edge py-1.5 text-meta"
    >
      <span className="text-ask">{asked_too.count + 1} waiting for an answer</span>
      {all.map((place) => (
        <button
          key={askingName(place)}
          type="button"
          className="button h-7 max-sm:h-11"
          aria-current={isAt(place)}
          onClick={() => open([askingName(place)])}
        >
          <bdi className="max-w-64 truncate">{askingWord(place, all)}</bdi>
        </button>
      ))}
      {more > 0 && <span className="text-ink2">and {more.toLocaleString('en')} more</span>}
    </nav>
  )
}
