import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { ChevronDown, ChevronRight, Search } from 'lucide-react'
import { type ReactNode, useDeferredValue, useState } from 'react'
import { duration, median } from '../data/clock.ts'
import { countOf, countsOf, instancesQuery, isWhole, overviewQuery } from '../data/instances.ts'
import { type Instance, type Step, shownStep, type WholeRun } from '../data/runs.ts'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { MAP_OVER, type Place, placesOf, statusOrder } from './chosen-instance.ts'
import { InstanceMap } from './instance-map.tsx'

/** So many of a status stand there at first. */
const PAGE = 10
/** A step with more has a field that finds some of them. */
const FILTER_OVER = 20

interface Props {
  run: WholeRun
  step: Step
  chosen: Place | undefined
  choose: (place: Place) => void
  /** An instance as the list has it. */
  row: (place: Place) => ReactNode
}

const line = 'flex h-[30px] w-full items-center gap-2.5 px-4 text-left hover:bg-hover max-sm:h-11'

type Status = Instance['status']

/** Many instances of a step: a map of all, and folds by status, of which what failed is open; more come by page. */
export default function StepInstances({ run, step, chosen, choose, row }: Props) {
  const [typed, setTyped] = useState('')
  const text = useDeferredValue(typed.trim())
  const total = countOf(step)
  const version = step.finished_at ?? run.last_seq
  const overview = useQuery({
    ...overviewQuery(run.run_id, step, version),
    placeholderData: keepPreviousData,
    enabled: !isWhole(step),
  }).data
  const found = useInfiniteQuery({
    ...instancesQuery(run.run_id, step, { text }, version),
    placeholderData: keepPreviousData,
    enabled: text !== '',
  })
  const counts = text === '' ? countsOf(step) : (found.data?.pages[0]?.counts ?? {})
  const folds = (Object.entries(counts) as [Status, number][])
    .map(([status, count]) => ({ status, count, shown: shownStep({ status, approval: step.approval }) }))
    .sort((a, b) => statusOrder.indexOf(a.shown) - statusOrder.indexOf(b.shown))
  return (
    <>
      {total > FILTER_OVER && (
        <li className="relative px-4 py-1">
          <Search
            size={13}
            strokeWidth={1.75}
            aria-hidden
            className="pointer-events-none absolute top-1/2 left-6 -translate-y-1/2 text-ink3"
          />
          <input
            type="search"
            className="field h-7 w-full pl-7 text-meta max-sm:h-11 max-sm:text-base"
            aria-label={`Filter instances of ${step.step}`}
            placeholder="Host, item or message"
            maxLength={200}
            value={typed}
            onChange={({ target }) => setTyped(target.value)}
          />
        </li>
      )}
      {folds.map(({ status, count, shown }) => (
        <Fold
          key={`${status} ${text}`}
          {...{ run, step, status, count, shown, text, chosen, row }}
          half={text === '' ? overview?.by_status[status]?.median_ms : undefined}
        />
      ))}
      {text !== '' && folds.length === 0 && (
        <li className="px-4 py-1.5 text-meta text-ink2" role="status">
          {found.isFetching ? 'Looking…' : `None of ${total.toLocaleString('en')} has it.`}
        </li>
      )}
      {total > MAP_OVER && overview !== undefined && (
        <li className="px-4 py-2">
          <InstanceMap
            run={run.run_id}
            step={step}
            states={overview.instances}
            choose={choose}
            columns={16}
          />
        </li>
      )}
    </>
  )
}

interface FoldProps extends Omit<Props, 'choose'> {
  status: Status
  shown: ReturnType<typeof shownStep>
  count: number
  text: string
  half: number | undefined
}

/** Instances of one status behind a line; what failed is open, and the rest comes on demand. */
function Fold({ run, step, status, shown, count, text, half: given, chosen, row }: FoldProps) {
  const isBad = status === 'failed' || status === 'interrupted'
  const [open, setOpen] = useState(isBad || text !== '')
  const [most, setMost] = useState(PAGE)
  const here = text === '' ? placesOf(step).filter(({ instance }) => instance.status === status) : []
  // What is over changes by their number alone; what goes on, with each event.
  const isGoingOn = status === 'running' || status === 'waiting'
  const version = isGoingOn && step.finished_at === undefined ? run.last_seq : count
  const wanted = text === '' ? { status } : { status, text }
  const pages = useInfiniteQuery({
    ...instancesQuery(run.run_id, step, wanted, version),
    placeholderData: keepPreviousData,
    enabled: open && here.length < Math.min(most, count),
  })
  const fetched = pages.data?.pages.flatMap(({ instances }) =>
    instances.map((instance) => ({ step, instance, index: instance.index })),
  )
  const known = here.length < Math.min(most, count) && fetched !== undefined ? fetched : here
  const rows = open ? known.slice(0, most) : []
  const isAway = chosen?.instance.status === status && !rows.some(({ index }) => index === chosen.index)
  const half =
    given ?? (isWhole(step) ? median(here.flatMap(({ instance }) => instance.duration_ms ?? [])) : undefined)
  const Icon = open ? ChevronDown : ChevronRight
  const more = () => {
    const next = most + 100
    setMost(next)
    if (fetched !== undefined && fetched.length < Math.min(next, count) && pages.hasNextPage)
      void pages.fetchNextPage()
  }
  return (
    <>
      <li>
        <button
          type="button"
          className={`${line} pl-8 text-ink2`}
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          <Icon size={13} strokeWidth={1.75} aria-hidden />
          <StatusMark shown={shown} size={14} beside />
          <span className="flex-1">
            {count.toLocaleString('en')} {statusWord(shown)}
          </span>
          {half !== undefined && (
            <span className="text-label text-ink3" title="median">
              ~ {duration(half)}
            </span>
          )}
        </button>
      </li>
      {rows.map(row)}
      {isAway && row(chosen)}
      {open && pages.error !== null && (
        <li className="px-9 py-1 text-meta text-ink2" role="alert">
          {pages.error.message}
        </li>
      )}
      {open && count > rows.length && rows.length > 0 && (
        <li>
          <button
            type="button"
            className={`${line} pl-14 text-accent`}
            disabled={pages.isFetching}
            onClick={more}
          >
            {(count - rows.length).toLocaleString('en')} more
          </button>
        </li>
      )}
    </>
  )
}
