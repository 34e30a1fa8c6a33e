import { Link, useNavigate } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useSyncExternalStore } from 'react'
import { timeOf, useNow } from '../data/clock.ts'
import type { RunFeed } from '../data/run-feed.ts'
import type { WholeRun } from '../data/runs.ts'
import { copyText } from '../parts/copy-button.tsx'
import { LogView } from '../parts/log/log-view.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { Answered, Approval } from './approval.tsx'
import { instanceWord, type Place, placeName } from './chosen-instance.ts'
import { RetryHere } from './retry-menu.tsx'
import type { RunSearch } from './run-search.ts'

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

const tabs = ['log', 'inputs', 'outputs', 'events'] as const

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
        <div role="tablist" aria-label="Of this step" className="ml-auto flex gap-4 self-stretch max-sm:ml-0">
          {(step.action === 'agent.run' ? (['session', ...tabs] as const) : tabs).map((one) => (
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
        <Approval key={step.step} run={run} step={step} linked={linked} />
      )}
      {step.approval === undefined && step.answered !== undefined && <Answered answered={step.answered} />}
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
          <LogView
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
