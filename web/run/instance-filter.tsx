import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { Search } from 'lucide-react'
import { useCallback, useEffect, useRef, useState } from 'react'
import { countsOf, instancesQuery } from '../data/instances.ts'
import type { Instance, RunDetail, Step } from '../data/runs.ts'
import { useNavigate, useSearch } from '../navigation/navigation.tsx'
import type { InstanceRef } from './chosen-instance.ts'

/** A step with more instances than this gets a filter field. */
export const FILTER_OVER = 20
/** Number of instances per status that are listed at first. */
const PAGE = 10
const TYPING_MS = 150

type Status = Instance['status']

export interface InstanceFilter {
  /** Text in the host, a value of the item or the message; empty for any. */
  text: string
  status: Status | undefined
}

/** Returns the filter for the instances of large steps, as in the page's address, and a function that changes it. */
export function useInstanceFilter(): InstanceFilter & { set: (change: Partial<InstanceFilter>) => void } {
  const { q: text = '', status } = useSearch('/runs/$run')
  const navigate = useNavigate('/runs/$run')
  const set = useCallback(
    (change: Partial<InstanceFilter>) =>
      void navigate({
        search: ({ q, status, ...was }) => {
          const { text = q, status: one } = { status, ...change }
          return { ...was, q: text === '' ? undefined : text, status: one }
        },
        hash: (was) => was ?? '',
        replace: true,
      }),
    [navigate],
  )
  return { text, status, set }
}

/** The field for the filter's text; the address follows when typing pauses. */
export function InstanceField({ label, className }: { label: string; className: string }) {
  const { text, set } = useInstanceFilter()
  const [typed, setTyped] = useState(text)
  const sent = useRef(text)
  useEffect(() => {
    if (text === sent.current) return
    sent.current = text
    setTyped(text)
  }, [text])
  useEffect(() => {
    const search = typed.trim()
    if (search === sent.current) return
    const timer = setTimeout(() => {
      sent.current = search
      set({ text: search })
    }, TYPING_MS)
    return () => clearTimeout(timer)
  }, [typed, set])
  return (
    <span className={`relative ${className}`}>
      <Search
        size={13}
        strokeWidth={1.75}
        aria-hidden
        className="pointer-events-none absolute top-1/2 left-2 -translate-y-1/2 text-ink3"
      />
      <input
        type="search"
        className="field h-7 w-full pl-7 text-meta max-sm:h-11 max-sm:text-base"
        aria-label={label}
        placeholder="Host, item or message"
        maxLength={200}
        value={typed}
        onChange={({ target }) => setTyped(target.value)}
      />
    </span>
  )
}

/** Returns how many instances with a text have each status, as counted by the hub. */
export function useFoundCounts(run: RunDetail, step: Step, text: string, enabled = true) {
  const found = useInfiniteQuery({
    ...instancesQuery(run.run_id, step, { text }, step.finished_at ?? run.last_seq),
    placeholderData: keepPreviousData,
    enabled: enabled && text !== '',
  })
  return {
    counts: text === '' || !enabled ? countsOf(step) : (found.data?.pages[0]?.counts ?? {}),
    isFetching: found.isFetching,
  }
}

/** Returns the message to show if the filter matches no instance. */
export const noMatch = (all: number, isFetching: boolean): string =>
  isFetching ? 'Searching…' : `No instances match. ${all.toLocaleString('en')} without the filter.`

interface OneStatus {
  run: RunDetail
  step: Step
  status: Status
  text: string
  /** Number of all instances with this status and text. */
  count: number
  here: readonly InstanceRef[]
  /** Number of them that are listed elsewhere. */
  skip?: number
  open: boolean
}

/**
 * Returns the first instances of a step with a status; `more` adds some. It requests pages from the hub if the
 * instances that came with the run do not suffice.
 */
export function useInstancesOf({ run, step, status, text, count, here, skip = 0, open }: OneStatus) {
  const [most, setMost] = useState(PAGE)
  const lacks = here.length < Math.min(skip + most, count)
  // Instances that have ended change only with their number; active ones change with each event.
  const isGoingOn = status === 'running' || status === 'waiting'
  const version = isGoingOn && step.finished_at === undefined ? run.last_seq : count
  const filter = text === '' ? { status } : { status, text }
  const pages = useInfiniteQuery({
    ...instancesQuery(run.run_id, step, filter, version),
    placeholderData: keepPreviousData,
    enabled: open && lacks,
  })
  const fetched = pages.data?.pages.flatMap(({ instances }) =>
    instances.map((instance) => ({ step, instance, index: instance.index })),
  )
  const known = lacks && fetched !== undefined ? fetched : here
  const more = () => {
    const next = most + 100
    setMost(next)
    if (fetched !== undefined && fetched.length < Math.min(skip + next, count) && pages.hasNextPage)
      void pages.fetchNextPage()
  }
  const places = open ? known.slice(skip, skip + most) : []
  const left = places.length > 0 ? count - skip - places.length : 0
  return { places, left, more, isFetching: pages.isFetching, error: pages.error }
}
