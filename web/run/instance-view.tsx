import { Link, useNavigate } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useSyncExternalStore } from 'react'
import { duration, timeOf, useNow } from '../data/clock.ts'
import type { RunFeed } from '../data/run-feed.ts'
import type { WholeRun } from '../data/runs.ts'
import { copyText } from '../parts/copy-button.tsx'
import { Log } from '../parts/log/log.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { instanceWord, type Place, placeName } from './chosen-instance.ts'
import { RetryHere } from './retry-menu.tsx'
import { type RunSearch, runTabs } from './run-search.ts'

interface Props {
  run: WholeRun
  place: Place
  feed: RunFeed
  search: RunSearch
  lines: [number, number] | undefined
  /** Its question is what the address names. */
  linked: boolean
}

const SessionTab = lazy(async () => ({ default: (await import('../session/session-page.tsx')).SessionTab }))
const Approval = lazy(async () => ({ default: (await import('./approval.tsx')).Approval }))
const Answered = lazy(async () => ({ default: (await import('./approval.tsx')).Answered }))
const ArtifactsTab = lazy(() => import('./artifacts-tab.tsx'))

const otherTabs = runTabs.filter((tab) => tab !== 'session')
const agentTabs = ['session', ...otherTabs] as const

/** One instance of a step: why it failed and what to do, its question, and its log or what else it has. */
export function InstanceView({ run, place, feed, search, lines, linked }: Props) {
  const navigate = useNavigate({ from: '/runs/$run' })
  const { step, instance } = place
  const attempts = instance.attempts
  const attempt = attempts.find((one) => String(one.try) === search.try) ?? attempts.at(-1)
  const ownTab = step.action === 'agent.run' && lines === undefined ? 'session' : 'log'
  const tab = search.tab ?? ownTab
  const name = placeName(place)
  const reason = instance.reason ?? step.reason
  const message = instance.message ?? step.message
  const bad = instance.status === 'failed' || instance.status === 'interrupted'
  const link = (from: number, to: number) => {
    const fragment = `step:${name}:${from}${from === to ? '' : `-${to}`}`
    void navigate({ search: (was) => ({ ...was, step: name }), hash: fragment, replace: true })
    const address = new URL(location.href)
    address.hash = fragment
    void copyText(address.href)
  }
  const find = useCallback(
    ({ q, re }: { q: string; re: boolean }) =>
      void navigate({
        search: ({ find: _find, re: _re, ...was }) => ({
          ...was,
          ...(q !== '' && { find: q }),
          ...(re && { re: '1' as const }),
        }),
        hash: (was) => was ?? '',
        replace: true,
      }),
    [navigate],
  )
  return (
    <section aria-label={`Step ${name}`} className="flex min-h-0 min-w-0 flex-1 flex-col">
      <div className="flex min-h-[38px] shrink-0 flex-wrap items-center gap-x-3 border-b border-line px-4 max-sm:py-1">
        <span className="flex min-w-0 items-center gap-2">
          <StatusMark
            shown={
              step.approval !== undefined && instance.status === 'waiting'
                ? 'asks'
                : instance.status === 'queued'
                  ? 'ahead'
                  : instance.status
            }
            size={14}
          />
          <h2 className="truncate font-semibold">
            <bdi>{step.step}</bdi>
          </h2>
          <span className="truncate text-ink2">
            on <bdi className="font-mono text-meta">{instanceWord(place)}</bdi>
          </span>
        </span>
        {attempts.length > 1 && (
          <span className="flex rounded-lg bg-idle p-0.5">
            {attempts.map((one) => (
              <button
                key={one.number}
                type="button"
                aria-pressed={one === attempt}
                className="h-6 rounded-md px-2 text-meta text-ink2 aria-pressed:bg-surface aria-pressed:font-medium aria-pressed:text-ink"
                onClick={() =>
                  navigate({ search: (was) => ({ ...was, step: name, try: String(one.try) }), hash: '' })
                }
              >
                try {one.try}
              </button>
            ))}
          </span>
        )}
        <div
          role="tablist"
          aria-label="Of this step"
          className="ml-auto flex max-w-full gap-4 self-stretch overflow-x-auto max-sm:ml-0"
        >
          {(step.action === 'agent.run' ? agentTabs : otherTabs).map((one) => (
            <button
              key={one}
              type="button"
              role="tab"
              aria-selected={tab === one}
              className="h-[38px] border-b-2 border-transparent text-meta text-ink2 capitalize hover:text-ink aria-selected:border-ink aria-selected:font-medium aria-selected:text-ink"
              onClick={() =>
                navigate({
                  search: (was) => ({ ...was, step: name, tab: one === ownTab ? undefined : one }),
                  hash: '',
                })
              }
            >
              {one}
            </button>
          ))}
        </div>
      </div>
      {bad && (
        <div className="flex shrink-0 flex-wrap items-center gap-3 border-b border-line bg-bad-soft px-4 py-2.5">
          <div className="min-w-0 flex-1 basis-64">
            <p className="max-h-32 overflow-y-auto break-words">
              <b
                className={`mr-2 font-mono font-semibold ${instance.status === 'failed' ? 'text-bad' : 'text-gone'}`}
              >
                {reason === 'exit_code' && instance.exit_code !== undefined
                  ? `exit_code ${instance.exit_code}`
                  : (reason ?? instance.status)}
              </b>
              <bdi>{message ?? `The step ${instance.status}.`}</bdi>
            </p>
            <Others place={place} />
          </div>
          <RetryHere run={run} place={place} />
        </div>
      )}
      {step.approval !== undefined && step.status === 'waiting' && (
        <Suspense>
          <Approval key={step.step} run={run} step={step} linked={linked} />
        </Suspense>
      )}
      {step.approval === undefined && step.answered !== undefined && (
        <Suspense>
          <Answered answered={step.answered} />
        </Suspense>
      )}
      {instance.waiting !== undefined && (
        <p className="shrink-0 border-b border-line bg-ask-soft px-4 py-2 text-meta text-ask">
          {instance.waiting}
        </p>
      )}
      {(step.child_run_ids ?? []).length > 0 && (
        <p className="flex shrink-0 flex-wrap gap-3 border-b border-line px-4 py-2 text-meta text-ink2">
          Runs that it started:
          {step.child_run_ids!.slice(0, 20).map((id) => (
            <Link
              key={id}
              to="/runs/$run"
              params={{ run: id }}
              className="font-mono text-accent hover:underline"
            >
              {id}
            </Link>
          ))}
        </p>
      )}
      {tab === 'session' &&
        (attempt === undefined ? (
          <p className="p-4 text-meta text-ink2">{message ?? 'Its session has not begun.'}</p>
        ) : (
          <Suspense fallback={null}>
            <SessionTab
              key={attempt.number}
              {...{ run, feed, step: step.step, attempt: attempt.number }}
              over={attempt.outcome !== undefined}
            />
          </Suspense>
        ))}
      {tab === 'log' &&
        (attempt === undefined ? (
          <p className="p-4 text-meta text-ink2">
            {instance.status === 'skipped'
              ? `It did not run: ${message ?? reason ?? 'its condition does not hold'}.`
              : step.approval !== undefined
                ? 'It waits for an answer, and has no log.'
                : 'It has no log.'}
          </p>
        ) : (
          <Log
            key={attempt.number}
            run={run.run_id}
            attempt={attempt.number}
            feed={feed}
            running={attempt.outcome === undefined}
            failed={attempt.outcome === 'failed'}
            name={name}
            marked={lines}
            link={link}
            find={{ q: search.find ?? '', re: search.re === '1' }}
            setFind={find}
          />
        ))}
      {tab === 'inputs' && (
        <Values of={{ ...run.vars, ...instance.vars }} none="The run was given no inputs." />
      )}
      {tab === 'outputs' && <Values of={run.outputs ?? {}} none="The run has no outputs." />}
      {tab === 'exports' && <Exports feed={feed} attempt={attempt?.number} />}
      {tab === 'usage' && <Usage attempt={attempt} feed={feed} />}
      {tab === 'artifacts' && (
        <Suspense fallback={null}>
          <ArtifactsTab
            key={name}
            run={run.run_id}
            step={step.step}
            host={instance.host}
            version={attempts.reduce((sum, { artifacts }) => sum + (artifacts?.length ?? 0), 0)}
          />
        </Suspense>
      )}
      {tab === 'events' && <Events feed={feed} attempt={attempt?.number} step={step.step} />}
    </section>
  )
}

/** That others passed, which says where to look. */
function Others({ place }: { place: Place }) {
  const { step } = place
  const good = step.instances.filter(({ status }) => status === 'success').length
  if (good === 0) return null
  return (
    <p className="text-meta text-ink2">
      {good} of {step.instances.length} passed: look at what is different on <bdi>{instanceWord(place)}</bdi>.
    </p>
  )
}

function Values({ of, none }: { of: Record<string, string>; none: string }) {
  const all = Object.entries(of)
  if (all.length === 0) return <p className="p-4 text-meta text-ink2">{none}</p>
  return (
    <dl className="grid min-h-0 flex-1 auto-rows-min grid-cols-[minmax(8rem,auto)_1fr] gap-x-6 gap-y-2 overflow-auto p-4">
      {all.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="font-mono text-meta text-ink2">
            <bdi>{name}</bdi>
          </dt>
          <dd className="font-mono text-meta break-all whitespace-pre-wrap">
            <bdi>{value}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** The variables that a try has left to later steps. */
function Exports({ feed, attempt }: { feed: RunFeed; attempt: number | undefined }) {
  useSyncExternalStore(feed.watch, () => feed.version)
  const end = feed.events.findLast((event) => event.type === 'attempt.finished' && event.attempt === attempt)
  const given = end?.type === 'attempt.finished' ? end.exports : undefined
  return <Values of={given ?? {}} none="This try exported no variables." />
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

/** The time and memory of a try, and for an agent its tokens and cost as it told them last. */
function Usage({
  attempt,
  feed,
}: {
  attempt: Place['instance']['attempts'][number] | undefined
  feed: RunFeed
}) {
  useSyncExternalStore(feed.watch, () => feed.version)
  const { usage } = attempt ?? {}
  const told = feed.events.findLast(
    (event) =>
      event.type === 'agent.update' && event.attempt === attempt?.number && event.update.kind === 'usage',
  )
  const said = told?.type === 'agent.update' && told.update.kind === 'usage' ? told.update.session : {}
  const figures: Record<string, string> = {
    ...(attempt?.runner === undefined ? {} : { runner: attempt.runner }),
    ...(usage?.peak_memory_bytes === undefined ? {} : { 'peak memory': megabytes(usage.peak_memory_bytes) }),
    ...(usage?.cpu_ms === undefined ? {} : { 'CPU time': duration(usage.cpu_ms) }),
    ...(usage === undefined ? {} : { 'measured by': usage.held_by }),
  }
  for (const [name, value] of Object.entries(said))
    if (typeof value === 'number' || typeof value === 'string')
      figures[name.replaceAll('_', ' ')] = typeof value === 'number' ? value.toLocaleString('en') : value
  return <Values of={figures} none="Nothing is measured of it yet." />
}

/** Events of this step, the newest last; at most the last 300 are in the page. */
function Events({ feed, attempt, step }: { feed: RunFeed; attempt: number | undefined; step: string }) {
  useSyncExternalStore(feed.watch, () => feed.version)
  const now = useNow()
  const own = feed.events.filter((event) =>
    'step' in event ? event.step === step : 'attempt' in event ? event.attempt === attempt : true,
  )
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
    <ol tabIndex={0} aria-label="Events" className="min-h-0 flex-1 overflow-auto p-4 font-mono text-meta">
      {own.slice(-300).map(({ seq, time, type, ...rest }) => (
        <li key={seq} className="flex gap-4 py-0.5">
          <span className="w-10 shrink-0 text-right text-ink3">{seq}</span>
          <span className="shrink-0 text-ink2">{timeOf(time, now)}</span>
          <span className="w-44 shrink-0 font-medium">{type}</span>
          <span className="break-all text-ink2">{JSON.stringify(rest)}</span>
        </li>
      ))}
    </ol>
  )
}
