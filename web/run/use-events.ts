import { useQuery } from '@tanstack/react-query'
import { useSyncExternalStore } from 'react'
import type { RunEvent } from '../../src/contract/events.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { eventsOfAttempt } from '../data/runs.ts'

/** Returns the events at hand, and those of an attempt from before its page followed the run. */
export function useEventsOf(run: string, feed: RunFeed, attempt: number | undefined): readonly RunEvent[] {
  useSyncExternalStore(feed.watch, () => feed.version)
  const { data: before = [] } = useQuery({
    queryKey: ['events', run, attempt, feed.from],
    queryFn: ({ signal }) => eventsOfAttempt(run, attempt!, signal),
    enabled: feed.from > 0 && attempt !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  })
  return feed.from > 0 ? [...before.filter(({ seq }) => seq <= feed.from), ...feed.events] : feed.events
}
