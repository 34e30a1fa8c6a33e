import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { duration } from '../data/clock.ts'
import { type RunFeed, useRunFeed } from '../data/run-feed.ts'
import { cancelRun, getRun, routeOf, shownStatus, shownStep } from '../data/runs.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton } from '../parts/action-button.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { intoView } from '../parts/into-view.ts'
import { Log } from '../parts/log/log.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { Took } from '../parts/times.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import { firstInstance, instanceName, instancesOf } from '../run/chosen-instance.ts'

/** Shows the started run live, with its steps as tabs; shows the running step until a person chooses one. */
export function Output({ id }: { id: string }) {
  const { data: run } = useQuery({
    queryKey: ['run', id],
    queryFn: ({ signal }) => getRun(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  const feed = useRunFeed(id)
  const [chosen, setChosen] = useState<string>()
  const section = useRef<HTMLElement>(null)
  const isShown = run !== undefined && feed !== undefined
  // On a phone the output is below the text.
  useEffect(() => {
    if (isShown && matchMedia('(max-width: 767px)').matches)
      section.current?.scrollIntoView({ block: 'start' })
  }, [isShown])
  if (run === undefined || feed === undefined)
    return <section aria-label="Output" className="min-h-0 flex-1 bg-sunken" aria-busy="true" />
  const places = run.steps.flatMap(instancesOf)
  const place = places.find((one) => instanceName(one) === chosen) ?? firstInstance(run.steps)
  const over = run.finished_at !== undefined
  const runner = place?.instance.attempts.at(-1)?.runner
  return (
    <section
      ref={section}
      aria-label="Output"
      className="flex min-h-0 min-w-0 flex-1 flex-col max-md:min-h-[65dvh] max-md:shrink-0 max-md:border-t max-md:border-line"
    >
      <div className="flex min-h-14 shrink-0 items-center gap-3 border-b border-line px-4 py-2">
        <StatusMark shown={shownStatus(run)} size={18} />
        <div className="min-w-0 flex-1">
          <p className="flex items-center gap-2">
            <span className="truncate font-semibold">
              <bdi>{run.workflow_name}</bdi>
            </span>
            <span className="shrink-0 font-mono text-meta text-ink2 max-lg:hidden">{run.run_id}</span>
            <CopyButton text={run.run_id} label="Copy run ID" />
          </p>
          <p className="truncate text-label text-ink2">
            {run.waiting ??
              run.message ??
              (runner === undefined ? 'waiting to start' : `on runner ${runner}`)}
            <FirstLine feed={feed} since={run.created_at} />
          </p>
        </div>
        <span className="max-lg:hidden">
          <RouteLine route={routeOf(run)} />
        </span>
        <Took of={run} />
        <Link to="/runs/$run" params={{ run: id }} className="button">
          Open run
        </Link>
        {!over && (
          <ActionButton doing="Canceling…" kind="quiet-bad" act={() => cancelRun(id)}>
            Cancel
          </ActionButton>
        )}
      </div>
      <div
        role="tablist"
        aria-label="Steps"
        className="flex shrink-0 overflow-x-auto border-b border-line px-1.5"
      >
        {places.map((one) => (
          <button
            key={`${one.step.phase} ${instanceName(one)}`}
            type="button"
            role="tab"
            aria-selected={one.index === place?.index && one.step === place.step}
            ref={intoView(one.index === place?.index && one.step === place.step)}
            className="tab"
            onClick={() => setChosen(instanceName(one))}
          >
            <StatusMark
              shown={shownStep({
                status: one.instance.status,
                waiting: one.instance.waiting,
                approval: one.step.approval,
              })}
              size={13}
            />
            <bdi className="max-w-64 truncate font-medium">{instanceName(one)}</bdi>
            <span className="text-ink2">{one.step.started_at !== undefined && <Took of={one.step} />}</span>
          </button>
        ))}
      </div>
      {place?.instance.attempts.at(-1) !== undefined ? (
        <Log
          key={place.instance.attempts.at(-1)!.number}
          run={id}
          attempt={place.instance.attempts.at(-1)!.number}
          feed={feed}
          running={place.instance.attempts.at(-1)!.outcome === undefined}
          name={instanceName(place)}
        />
      ) : (
        <p className="flex-1 bg-sunken p-4 text-meta text-ink3">
          {place?.step.approval === undefined ? (
            'Nothing has started yet.'
          ) : (
            <VisibleText text={place.step.approval.message} />
          )}
        </p>
      )}
    </section>
  )
}

/** Shows the time from the request to the first line that a step printed. */
function FirstLine({ feed, since }: { feed: RunFeed; since: string }) {
  useSyncExternalStore(feed.watch, () => feed.version)
  if (feed.firstOutputAt === undefined) return null
  return (
    <>
      , first line after{' '}
      <span className="text-ok">{duration(Date.parse(feed.firstOutputAt) - Date.parse(since))}</span>
    </>
  )
}
