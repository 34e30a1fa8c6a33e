import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { ChevronDown, ChevronRight } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { duration, median } from '../data/clock.ts'
import { countOf, isWhole, overviewQuery } from '../data/instances.ts'
import { type Instance, type RunDetail, type Step, shownStep } from '../data/runs.ts'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { type InstanceRef, instancesOf, MAP_OVER, statusOrder } from './chosen-instance.ts'
import {
  FILTER_OVER,
  InstanceField,
  noMatch,
  useFoundCounts,
  useInstanceFilter,
  useInstancesOf,
} from './instance-filter.tsx'
import { InstanceMap } from './instance-map.tsx'

interface Props {
  run: RunDetail
  step: Step
  chosen: InstanceRef | undefined
  choose: (ref: InstanceRef) => void
  /** Renders an instance as the list does. */
  row: (ref: InstanceRef) => ReactNode
}

const line = 'flex h-[30px] w-full items-center gap-2.5 px-4 text-left hover:bg-hover max-sm:h-11'

type Status = Instance['status']

/**
 * Shows many instances of a step: a map of all, and folds by status, of which the failed ones are open. More are
 * loaded page by page.
 */
export default function StepInstances({ run, step, chosen, choose, row }: Props) {
  const filter = useInstanceFilter()
  const total = countOf(step)
  const text = total > FILTER_OVER ? filter.text : ''
  const version = step.finished_at ?? run.last_seq
  const overview = useQuery({
    ...overviewQuery(run.run_id, step, version),
    placeholderData: keepPreviousData,
    enabled: !isWhole(step),
  }).data
  const { counts, isFetching } = useFoundCounts(run, step, text)
  const folds = (Object.entries(counts) as [Status, number][])
    .map(([status, count]) => ({ status, count, shown: shownStep({ status, approval: step.approval }) }))
    .sort((a, b) => statusOrder.indexOf(a.shown) - statusOrder.indexOf(b.shown))
  return (
    <>
      {total > FILTER_OVER && (
        <li className="px-4 py-1">
          <InstanceField label={`Filter instances of ${step.step}`} className="block" />
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
          {noMatch(total, isFetching)}
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

/** Folds the instances of one status behind a line; failed ones are open, and the rest appear on demand. */
function Fold({ run, step, status, shown, count, text, half: onlyHalf, chosen, row }: FoldProps) {
  const isBad = status === 'failed' || status === 'interrupted'
  const [open, setOpen] = useState(isBad || text !== '')
  const here = text === '' ? instancesOf(step).filter(({ instance }) => instance.status === status) : []
  const {
    places: rows,
    left,
    more,
    isFetching,
    error,
  } = useInstancesOf({ run, step, status, text, count, here, open })
  const isAway = chosen?.instance.status === status && !rows.some(({ index }) => index === chosen.index)
  const half =
    onlyHalf ??
    (isWhole(step) ? median(here.flatMap(({ instance }) => instance.duration_ms ?? [])) : undefined)
  const Icon = open ? ChevronDown : ChevronRight
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
      {open && error !== null && (
        <li className="px-9 py-1 text-meta text-ink2" role="alert">
          {error.message}
        </li>
      )}
      {left > 0 && (
        <li>
          <button type="button" className={`${line} pl-14 text-accent`} disabled={isFetching} onClick={more}>
            {left.toLocaleString('en')} more
          </button>
        </li>
      )}
    </>
  )
}
