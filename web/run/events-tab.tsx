import { useState } from 'react'
import type { RunEvent } from '../../src/contract/events.ts'
import { timeOf, useNow } from '../data/clock.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { VisibleText } from '../parts/visible-text.tsx'
import { eventSentence } from './event-sentence.ts'
import { useEventsOf } from './use-events.ts'

/** Of the JSON of an event, at most this many characters are shown. */
const MOST_JSON = 4000
/** At most this many events are in the page: the newest. */
const MOST_EVENTS = 300

interface Props {
  run: string
  feed: RunFeed
  attempt: number | undefined
  step: string
}

/** The events of one step as sentences, the newest last. Each opens to the event as it is stored. */
export function Events({ run, feed, attempt, step }: Props) {
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
        <summary className="flex cursor-pointer gap-x-4 rounded-chip hover:bg-hover">
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
