import { useQuery } from '@tanstack/react-query'
import { useState, useSyncExternalStore } from 'react'
import type { RunEvent } from '../../src/contract/events.ts'
import { duration, timeOf, useNow } from '../data/clock.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { eventsOfAttempt, type RunDetail } from '../data/runs.ts'
import { VisibleText } from '../parts/visible-text.tsx'
import type { InstanceRef } from './chosen-instance.ts'
import { eventSentence } from './event-sentence.ts'
import type { RunTab } from './run-search.ts'

type Attempt = InstanceRef['instance']['attempts'][number]

interface Props {
  run: RunDetail
  place: InstanceRef
  attempt: Attempt | undefined
  feed: RunFeed
  tab: RunTab
}

/** Shows an instance's inputs, what it stored, its usage and its events. */
export default function InstanceTab({ run, place, attempt, feed, tab }: Props) {
  const of = { run: run.run_id, feed, attempt: attempt?.number }
  if (tab === 'inputs')
    return <Values of={{ ...run.vars, ...place.instance.vars }} none="This run has no inputs." />
  if (tab === 'outputs') return <Values of={run.outputs ?? {}} none="This run has no outputs." />
  if (tab === 'exports') return <Exports {...of} />
  if (tab === 'usage') return <Usage run={run.run_id} attempt={attempt} feed={feed} />
  return <Events {...of} step={place.step.step} />
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
            <bdi>
              <VisibleText text={value} />
            </bdi>
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** Returns the events at hand, and those of an attempt from before its page followed the run. */
function useEventsOf(run: string, feed: RunFeed, attempt: number | undefined): readonly RunEvent[] {
  useSyncExternalStore(feed.watch, () => feed.version)
  const { data: before = [] } = useQuery({
    queryKey: ['events', run, attempt, feed.from],
    queryFn: ({ signal }) => eventsOfAttempt(run, attempt!, signal),
    enabled: feed.from > 0 && attempt !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  })
  return feed.from > 0 ? [...before.filter(({ seq }) => seq <= feed.from), ...feed.events] : feed.events
}

/** Shows the variables that a try exported to later steps. */
function Exports({ run, feed, attempt }: { run: string; feed: RunFeed; attempt: number | undefined }) {
  const end = useEventsOf(run, feed, attempt).findLast(
    (event) => event.type === 'attempt.finished' && event.attempt === attempt,
  )
  const values = end?.type === 'attempt.finished' ? end.exports : undefined
  return <Values of={values ?? {}} none="This attempt exported no variables." />
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

/** Describes the box of a try and the network that it could reach; returns nothing if there was no box. */
function boxOf({ isolation = 'none', made_box, network = 'all' }: Partial<Attempt>): Record<string, string> {
  const box = isolation !== 'none' ? isolation : made_box && `the ${made_box} provisioned for this run`
  if (box === undefined) return {}
  return { box, network: typeof network === 'string' ? network : network.allow.join(', ') }
}

/** Shows the box, time and memory of a try, and for an agent the last tokens and cost that it reported. */
function Usage({ run, attempt, feed }: { run: string; attempt: Attempt | undefined; feed: RunFeed }) {
  const { usage } = attempt ?? {}
  const usageEvent = useEventsOf(run, feed, attempt?.number).findLast(
    (event) =>
      event.type === 'agent.update' && event.attempt === attempt?.number && event.update.kind === 'usage',
  )
  const session =
    usageEvent?.type === 'agent.update' && usageEvent.update.kind === 'usage' ? usageEvent.update.session : {}
  const figures: Record<string, string> = {
    ...(attempt?.runner === undefined ? {} : { runner: attempt.runner }),
    ...boxOf(attempt ?? {}),
    ...(usage?.peak_memory_bytes === undefined ? {} : { 'peak memory': megabytes(usage.peak_memory_bytes) }),
    ...(usage?.cpu_ms === undefined ? {} : { 'CPU time': duration(usage.cpu_ms) }),
    ...(usage === undefined ? {} : { 'measured by': usage.held_by }),
  }
  for (const [name, value] of Object.entries(session))
    if (typeof value === 'number' || typeof value === 'string')
      figures[name.replaceAll('_', ' ')] = typeof value === 'number' ? value.toLocaleString('en') : value
  return <Values of={figures} none="No usage measured yet." />
}

/** Maximum number of characters shown of an event's JSON. */
const MOST_JSON = 4000
/** Maximum number of events in the page: the newest ones. */
const MOST_EVENTS = 300

interface EventsProps {
  run: string
  feed: RunFeed
  attempt: number | undefined
  step: string
}

/** Lists the events of one step as sentences, the newest last. Each opens to show the stored event. */
function Events({ run, feed, attempt, step }: EventsProps) {
  const now = useNow()
  const own = useEventsOf(run, feed, attempt).filter((event) =>
    'step' in event ? event.step === step : 'attempt' in event ? event.attempt === attempt : true,
  )
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
    <ol tabIndex={0} aria-label="Events" className="min-h-0 flex-1 overflow-auto p-4 text-meta">
      {own.slice(-MOST_EVENTS).map((event) => (
        <EventRow key={event.seq} event={event} at={timeOf(event.time, now)} />
      ))}
    </ol>
  )
}

function EventRow({ event, at }: { event: RunEvent; at: string }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <li className="py-0.5 max-lg:py-1.5">
      <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary className="flex cursor-pointer gap-x-4 rounded hover:bg-hover">
          <span className="w-10 shrink-0 text-right font-mono text-ink3 max-sm:w-7">{event.seq}</span>
          <time dateTime={event.time} className="shrink-0 text-ink2">
            {at}
          </time>
          <bdi className="min-w-0 break-words">
            <VisibleText text={eventSentence(event)} />
          </bdi>
        </summary>
        {isOpen && (
          <p className="my-1 ml-14 font-mono break-all whitespace-pre-wrap text-ink2 max-sm:ml-0">
            <VisibleText text={JSON.stringify(event, undefined, 2).slice(0, MOST_JSON)} />
          </p>
        )}
      </details>
    </li>
  )
}
