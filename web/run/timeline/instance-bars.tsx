import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { ChevronDown, ChevronRight } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import type { StepOverview } from '../../../src/contract/runs/run-parts.ts'
import { clockOf, duration, median } from '../../data/clock.ts'
import { countOf, countsOf, isWhole, overviewQuery } from '../../data/instances.ts'
import { wordsOf } from '../../data/page-words.ts'
import { type Instance, type RunDetail, type Shown, type Step, shownStep } from '../../data/runs.ts'
import { StatusMark, statusWord } from '../../parts/status-mark.tsx'
import {
  type InstanceRef,
  instanceShown,
  instancesOf,
  instanceWord,
  statusOrder,
} from '../chosen-instance.ts'
import { type InstanceFilter, noMatch, useFoundCounts, useInstancesOf } from '../instance-filter.tsx'
import { mergeParts, type Part, partsOf } from './bars.ts'
import type { Span } from './time-table.tsx'

/**
 * More instances than the first number are folded by status; the second is the number of failed ones shown above a
 * fold.
 */
const [FEW, PAGE] = [8, 10]

/** The time axis: the place of a stretch on it, and the end of stretches that are still going on. */
export interface Axis {
  from: number
  length: number
  end: number
  place: (span: Span) => { left: string; width: string }
}

const colours: Record<Part['kind'], string> = {
  waits: '',
  running: 'bg-accent',
  success: 'bg-ok',
  failed: 'bg-bad',
  canceled: 'bg-ink3',
  interrupted: 'bg-gone',
}

/** Draws a bar for each part of an instance. */
export function Parts({ parts, shown, axis }: { parts: readonly Part[]; shown: Shown; axis: Axis }) {
  return parts.map((part, index) => {
    const isLast = index === parts.length - 1
    const kind = isLast && part.kind === 'running' && shown === 'interrupted' ? 'interrupted' : part.kind
    return (
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
        key={index}
        title={`${part.kind === 'waits' ? 'waiting' : part.kind}, ${duration((part.to ?? axis.end) - part.from)}`}
        data-part={kind}
        className={
          kind === 'waits'
            ? 'absolute top-[14px] h-0 min-w-[3px] border-t-2 border-dotted border-ask'
            : `absolute top-[9px] h-3 min-w-[3px] ${kind === 'failed' ? 'rounded-[1px]' : 'rounded-[3px]'} ${colours[kind]}`
        }
        style={axis.place({ from: part.from, to: part.to ?? axis.end })}
      />
    )
  })
}

interface RowProps {
  depth: 0 | 1 | 2
  name: string
  count?: number | undefined
  shown: Shown
  reason?: string | undefined
  time: string
  /** Time that it has waited, in ms. */
  waited?: number | undefined
  open?: boolean | undefined
  critical?: boolean
  press: (() => void) | undefined
  children: ReactNode
}

const indents = ['pl-5 max-sm:pl-2', 'pl-9 max-sm:pl-4', 'pl-14 max-sm:pl-6']

export function Row({
  depth,
  name,
  count,
  shown,
  reason,
  time,
  waited,
  open,
  critical,
  press,
  children,
}: RowProps) {
  const Icon = open ? ChevronDown : ChevronRight
  return (
    <div className="flex min-h-[33px] border-b border-line">
      <button
        type="button"
        aria-expanded={open}
        className={`timeline-names flex shrink-0 items-center gap-2 pr-3 text-left hover:bg-hover ${indents[depth]} ${shown === 'ahead' || shown === 'skipped' ? 'text-ink2' : ''} max-sm:min-h-11`}
        onClick={press}
      >
        {open !== undefined && (
          <Icon size={13} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
        )}
        <StatusMark shown={shown} size={14} />
        <bdi
          className={`truncate ${shown === 'failed' ? 'font-semibold' : depth === 0 ? 'font-medium' : ''}`}
        >
          {name}
        </bdi>
        {count !== undefined && <span className="text-label text-ink3">{count.toLocaleString('en')}</span>}
        {critical && <span className="sr-only">on the critical path</span>}
        <span className="ml-auto flex shrink-0 items-center gap-2 text-meta text-ink2">
          {reason !== undefined && shown === 'failed' && (
            <span className="chip bg-bad-soft font-mono text-bad max-sm:hidden">{wordsOf(reason)}</span>
          )}
          {waited !== undefined && (
            <span className="text-label text-ink3 max-sm:hidden">waited {clockOf(waited)}</span>
          )}
          <span className={depth === 0 ? 'font-mono' : ''}>{time}</span>
        </span>
      </button>
      <div className="relative my-auto h-[33px] min-w-0 flex-1 overflow-hidden">{children}</div>
    </div>
  )
}

interface Many {
  run: RunDetail
  step: Step
  axis: Axis
  filter: InstanceFilter
  open: (ref: InstanceRef) => void
}

function InstanceBar({
  place,
  depth,
  axis,
  open,
}: Pick<Many, 'axis' | 'open'> & { place: InstanceRef; depth: 1 | 2 }) {
  const { instance } = place
  return (
    <Row
      depth={depth}
      name={instanceWord(place)}
      shown={instanceShown(place)}
      reason={instance.reason}
      time={instance.duration_ms === undefined ? '' : duration(instance.duration_ms)}
      press={() => open(place)}
    >
      <Parts parts={partsOf(instance)} shown={instanceShown(place)} axis={axis} />
    </Row>
  )
}

export const isFiltering = ({ text, status }: InstanceFilter): boolean => text !== '' || status !== undefined

/** Reports whether an instance at hand matches the filter, as the hub would decide. */
function fits({ instance }: InstanceRef, { text, status }: InstanceFilter): boolean {
  const { host, vars, message } = instance
  const words = [host, ...Object.values(vars ?? {}), message ?? '']
  return (
    (status === undefined || status === instance.status) &&
    words.some((word) => word.toLowerCase().includes(text.toLowerCase()))
  )
}

/**
 * Shows the instances of a step over time. Few are shown one by one; many are folded by status, with failures first
 * and open. A filter shows its matches, all open.
 */
export function InstanceBars({ run, step, axis, filter, open }: Many) {
  const overview = useQuery({
    ...overviewQuery(run.run_id, step, step.finished_at ?? run.last_seq),
    placeholderData: keepPreviousData,
    enabled: !isWhole(step),
  }).data
  const { text, status: only } = filter
  const found = useFoundCounts(run, step, text, !isWhole(step))
  const isFiltered = isFiltering(filter)
  const all = instancesOf(step)
  const places = isWhole(step) ? all.filter((place) => fits(place, filter)) : text === '' ? all : []
  const instances = places.map(({ instance }) => instance)
  const counts = isWhole(step) ? countsOf({ ...step, instances }) : found.counts
  const listed = (Object.entries(counts) as [Instance['status'], number][])
    .filter(([status]) => only === undefined || status === only)
    .map(([status, count]) => ({ status, count, shown: shownStep({ status, approval: step.approval }) }))
    .sort((a, b) => statusOrder.indexOf(a.shown) - statusOrder.indexOf(b.shown))
  if (listed.length === 0)
    return (
      <p
        className="relative border-b border-line bg-surface py-1.5 pl-9 text-meta text-ink2 max-sm:pl-4"
        role="status"
      >
        {noMatch(countOf(step), found.isFetching)}
      </p>
    )
  if (isWhole(step) && places.length <= FEW)
    return places.map((place) => <InstanceBar key={place.index} {...{ place, axis, open }} depth={1} />)
  return listed.map(({ status, count, shown }) => {
    const here = places.filter(({ instance }) => instance.status === status)
    const isBad = status === 'failed' || status === 'interrupted'
    const first = isBad && !isFiltered ? here.slice(0, PAGE) : []
    return [
      ...first.map((place) => <InstanceBar key={place.index} {...{ place, axis, open }} depth={1} />),
      count > first.length && (
        <Fold
          key={`${status} ${only} ${text}`}
          {...{ run, step, axis, filter, open, status, shown, count, here }}
          skip={first.length}
          of={text === '' ? overview?.by_status[status] : undefined}
          until={overview?.until}
        />
      ),
    ]
  })
}

type Group = NonNullable<StepOverview['by_status']['success']>

/**
 * Returns the time from the first start to the last end of instances that are not at hand, as far as the hub's
 * summary tells.
 */
function farParts(
  { began_at, ended = [] }: Group,
  step: Step,
  shown: Shown,
  until: string | undefined,
  end: number,
): Part[] {
  const from = Date.parse(began_at!)
  const last = ended.findLastIndex((count) => count > 0)
  const begin = Date.parse(step.started_at ?? began_at!)
  const to =
    last < 0 || until === undefined ? end : begin + ((Date.parse(until) - begin) * (last + 1)) / ended.length
  return [{ from, to: Math.max(from, to), kind: shown in colours ? (shown as Part['kind']) : 'waits' }]
}

interface FoldProps extends Many {
  status: Instance['status']
  shown: Shown
  count: number
  /** Number of instances of this status listed above the fold; they are the first of those at hand. */
  skip: number
  here: readonly InstanceRef[]
  of: Group | undefined
  until: string | undefined
}

function Fold({ run, step, axis, filter, open, status, shown, count, skip, here, of, until }: FoldProps) {
  const { text } = filter
  const [isOpen, setOpen] = useState(isFiltering(filter))
  const { places, left, more, isFetching, error } = useInstancesOf({
    ...{ run, step, status, text, count, here, skip, open: isOpen },
  })
  const { end } = axis
  const near = (text === '' ? here.slice(skip) : places).map(({ instance }) => partsOf(instance))
  const isRunning = shown === 'running'
  const parts = of?.began_at === undefined ? mergeParts(near, end) : farParts(of, step, shown, until, end)
  const began = parts[0]?.from
  const half =
    of?.median_ms ?? median(here.slice(skip).flatMap(({ instance: { duration_ms } }) => duration_ms ?? []))
  const longest = began === undefined ? 0 : end - began
  const label = isRunning
    ? `longest ${duration(longest)}`
    : half === undefined
      ? ''
      : `median ${duration(half)}`
  return (
    <>
      <Row
        depth={1}
        name={`${(count - skip).toLocaleString('en')} ${statusWord(shown)}`}
        shown={shown}
        time={label}
        open={isOpen}
        press={() => setOpen(!isOpen)}
      >
        <Parts parts={parts} shown={shown} axis={axis} />
      </Row>
      {places.map((place) => (
        <InstanceBar key={place.index} {...{ place, axis, open }} depth={2} />
      ))}
      {isOpen && error !== null && (
        <p className="border-b border-line py-1.5 pl-14 text-meta text-ink2 max-sm:pl-6" role="alert">
          {error.message}
        </p>
      )}
      {left > 0 && (
        <button
          type="button"
          className="block min-h-[33px] w-full border-b border-line pl-14 text-left text-accent hover:bg-hover max-sm:min-h-11 max-sm:pl-6"
          disabled={isFetching}
          onClick={more}
        >
          {left.toLocaleString('en')} more
        </button>
      )}
    </>
  )
}
