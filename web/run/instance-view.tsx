import { lazy, Suspense, useCallback } from 'react'
import { countOf } from '../data/instances.ts'
import { reasonWords, wordsOf } from '../data/page-words.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { useNavigate } from '../navigation/navigation.tsx'
import { copyText } from '../parts/copy-button.tsx'
import { intoView } from '../parts/into-view.ts'
import { Log } from '../parts/log/log.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import { type InstanceRef, instanceName, instanceWord, levelWord } from './chosen-instance.ts'
import { type Level, MOST_DEEP } from './chosen-path.ts'
import { RetryHere } from './retry-menu.tsx'
import { type RunSearch, type RunTab, runTabs } from './run-search.ts'

interface Props {
  /** The path to what is shown, from the run inwards; all levels but the last lead there. */
  path: readonly Level[]
  /** Opens the place that these names lead to. */
  open: (names: readonly string[]) => void
  feed: RunFeed
  search: RunSearch
  lines: [number, number] | undefined
  /** The question named in the page's address. */
  linked: string | undefined
}

const SessionTab = lazy(async () => ({ default: (await import('../session/session-page.tsx')).SessionTab }))
const Approval = lazy(async () => ({ default: (await import('./approval.tsx')).Approval }))
const Answered = lazy(async () => ({ default: (await import('./approval.tsx')).Answered }))
const StartedRun = lazy(async () => ({ default: (await import('./run-actions.tsx')).StartedRun }))
const InstanceTab = lazy(() => import('./instance-tabs.tsx'))
const ArtifactsTab = lazy(() => import('./artifacts-tab.tsx'))

const otherTabs: readonly RunTab[] = runTabs.filter((tab) => tab !== 'session')
const agentTabs = ['session', ...otherTabs] as const

/** Shows one instance of a step: why it failed and what to do, its question, and its log or another tab. */
export function InstanceView({ path, open, feed, search, lines, linked }: Props) {
  const navigate = useNavigate('/runs/$run')
  const { run, place } = path.at(-1)!
  const { step, instance } = place
  const attempts = instance.attempts
  const attempt = attempts.find((one) => String(one.try) === search.try) ?? attempts.at(-1)
  const ownTab = step.action === 'agent.run' && lines === undefined ? 'session' : 'log'
  const tab = search.tab ?? ownTab
  const names = path.map((level) => instanceName(level.place))
  const name = names.join(' > ')
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
      <div className="flex min-h-[38px] shrink-0 flex-wrap items-center gap-x-3 border-b border-line px-4 lg:flex-nowrap">
        <span className="flex min-h-9 min-w-0 items-center gap-2">
          <StatusMark
            shown={
              instance.asks
                ? 'asks'
                : instance.waiting !== undefined
                  ? 'room'
                  : instance.status === 'queued'
                    ? 'ahead'
                    : instance.status
            }
            size={14}
          />
          {path.slice(0, -1).map((level, at) => (
            <button
              key={names[at]}
              type="button"
              className="truncate text-ink2 hover:text-ink"
              onClick={() => open(names.slice(0, at + 1))}
            >
              <bdi>{levelWord(level.place)}</bdi> /
            </button>
          ))}
          <h2 className="truncate font-semibold">
            <bdi>{step.step}</bdi>
          </h2>
          <span className="max-w-60 shrink-0 truncate text-ink2">
            on <bdi className="font-mono text-meta">{instanceWord(place)}</bdi>
          </span>
        </span>
        {attempts.length > 1 && (
          <span className="segments">
            {attempts.map((one) => (
              <button
                key={one.number}
                type="button"
                aria-pressed={one === attempt}
                className="segment px-2"
                onClick={() =>
                  navigate({ search: (was) => ({ ...was, step: name, try: String(one.try) }), hash: '' })
                }
              >
                attempt {one.try}
              </button>
            ))}
          </span>
        )}
        <div
          role="tablist"
          aria-label="Step details"
          className="-mr-2.5 ml-auto flex max-w-full self-stretch overflow-x-auto max-sm:-mx-2.5 max-sm:max-w-none lg:shrink-0"
        >
          {(step.action === 'agent.run' ? agentTabs : otherTabs).map((one) => (
            <button
              key={one}
              type="button"
              role="tab"
              aria-selected={tab === one}
              ref={intoView(tab === one)}
              className="tab capitalize"
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
                {reasonWords(reason ?? instance.status, instance.exit_code)}
              </b>
              <bdi>
                {message ?? `The step ${instance.status === 'failed' ? 'failed' : 'was interrupted'}.`}
              </bdi>
            </p>
            {instance.last_error_line !== undefined && (
              <p className="mt-0.5 line-clamp-3 break-words">
                <span className="text-meta text-ink2">Last line on stderr: </span>
                <bdi className="font-mono text-meta">
                  <VisibleText text={instance.last_error_line} />
                </bdi>
              </p>
            )}
            <Others place={place} />
          </div>
          <RetryHere path={path} />
        </div>
      )}
      {step.approval !== undefined && step.status === 'waiting' && (
        <Suspense>
          <Approval key={step.step} run={run} step={step} linked={linked === step.step} />
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
      {instance.child_run_id !== undefined && (
        <Suspense fallback={null}>
          <StartedRun
            key={instance.child_run_id}
            id={instance.child_run_id}
            where={path.length > MOST_DEEP ? 'on its own page' : 'below the step'}
          />
        </Suspense>
      )}
      {tab === 'session' &&
        (attempt === undefined ? (
          <p className="p-4 text-meta text-ink2">{message ?? 'The session has not started.'}</p>
        ) : (
          <Suspense fallback={null}>
            <SessionTab
              key={attempt.number}
              {...{ run, feed, linked, step: step.step, attempt: attempt.number }}
              over={attempt.outcome !== undefined}
            />
          </Suspense>
        ))}
      {tab === 'log' &&
        (attempt === undefined ? (
          <p className="p-4 text-meta text-ink2">
            {instance.status === 'skipped'
              ? `Did not run: ${message ?? wordsOf(reason ?? 'its condition is false')}.`
              : step.approval !== undefined
                ? 'Waiting for an answer. There is no log.'
                : instance.child_run_id !== undefined
                  ? path.length > MOST_DEEP
                    ? 'The logs are on the page of the run that this step started.'
                    : 'The logs are in the steps listed below this one.'
                  : 'No log.'}
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
            stream={search.stream}
            setStream={(stream) =>
              navigate({ search: (was) => ({ ...was, stream }), hash: (was) => was, replace: true })
            }
          />
        ))}
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
      {otherTabs.includes(tab) && tab !== 'log' && tab !== 'artifacts' && (
        <Suspense fallback={null}>
          <InstanceTab {...{ run, place, attempt, feed, tab }} />
        </Suspense>
      )}
    </section>
  )
}

/** Says how many other instances passed, which hints where to look. */
function Others({ place }: { place: InstanceRef }) {
  const { step } = place
  const good = countOf(step, 'success')
  if (good === 0) return null
  return (
    <p className="text-meta text-ink2">
      {good.toLocaleString('en')} of {countOf(step).toLocaleString('en')} succeeded. Check what is different
      on <bdi>{instanceWord(place)}</bdi>.
    </p>
  )
}
