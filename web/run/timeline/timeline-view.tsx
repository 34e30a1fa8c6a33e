import { useQuery } from '@tanstack/react-query'
import { ChevronDown, ChevronRight, Table } from 'lucide-react'
import { type ReactNode, useEffect, useMemo, useState } from 'react'
import { duration, median, timeOf, useNow } from '../../data/clock.ts'
import { lastGoodQuery } from '../../data/last-good.ts'
import type { RunFeed } from '../../data/run-feed.ts'
import { getWorkflow, type Shown, type Step, shownStep, type WholeRun } from '../../data/runs.ts'
import { StatusMark, statusWord } from '../../parts/status-mark.tsx'
import {
  instanceShown,
  instanceWord,
  MAP_OVER,
  type Place,
  placesOf,
  statusOrder,
} from '../chosen-instance.ts'
import { nodeId, nodesOf, type WrittenWorkflow } from '../graph/nodes.ts'
import { InstanceMap } from '../instance-map.tsx'
import { criticalPath, instanceKey, type Part, partsOf, ticksOf } from './bars.ts'
import { type Span, TimeTable } from './time-table.tsx'

/** Over so many instances are folded by status; so many of what failed stand there, and so many steps. */
const [FEW, PAGE, MOST_STEPS] = [8, 10, 60]

interface Props {
  run: WholeRun
  feed: RunFeed
  chosen: Place | undefined
  /** Opens a place with its log. */
  open: (place: Place) => void
  views: ReactNode
}

/** The events of a feed, read again at most four times a second while more come. */
function useEvents(feed: RunFeed) {
  const [seen, setSeen] = useState({ version: feed.version })
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = feed.watch(() => {
      timer ??= setTimeout(() => {
        timer = undefined
        setSeen({ version: feed.version })
      }, 250)
    })
    setSeen({ version: feed.version })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [feed])
  return seen
}

const colours: Record<Part['kind'], string> = {
  waits: 'bg-ask-soft border border-ask-line',
  running: 'bg-accent',
  success: 'bg-ok',
  failed: 'bg-bad',
  canceled: 'bg-ink3',
  interrupted: 'bg-gone',
}

/** Steps and instances over time, with the last good run beneath and the critical path marked. */
export default function TimelineView({ run, feed, chosen, open, views }: Props) {
  const seen = useEvents(feed)
  const { data: written } = useQuery({
    queryKey: ['workflow', run.run_id],
    queryFn: ({ signal }) => getWorkflow(run.run_id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  const { data: good } = useQuery(lastGoodQuery(run))
  // biome-ignore lint/correctness/useExhaustiveDependencies: the feed's events grow in place
  const parts = useMemo(() => partsOf(feed.events), [feed, seen])
  const path = useMemo(
    () => criticalPath(nodesOf(run, written?.workflow as WrittenWorkflow | undefined)),
    [run, written],
  )
  const [opened, setOpened] = useState<ReadonlyMap<string, boolean>>(new Map())
  const [most, setMost] = useState(MOST_STEPS)
  const [asTable, setAsTable] = useState(false)
  const now = useNow()
  const from = Date.parse(run.started_at ?? run.created_at)
  const goodFrom = good ? Date.parse(good.started_at ?? good.created_at) : 0
  const goodOf = new Map<string, Span>()
  for (const step of good?.steps ?? [])
    if (step.started_at !== undefined && step.finished_at !== undefined)
      goodOf.set(nodeId(step), {
        from: Date.parse(step.started_at) - goodFrom + from,
        to: Date.parse(step.finished_at) - goodFrom + from,
      })
  const goodEnd = Math.max(0, ...[...goodOf.values()].map(({ to }) => to))
  const isOver = run.finished_at !== undefined
  const stepEnds = run.steps.flatMap(({ finished_at }) => (finished_at ? [Date.parse(finished_at)] : []))
  const end = isOver ? Math.max(Date.parse(run.finished_at!), ...stepEnds) : Math.max(now, ...stepEnds)
  const length = Math.max(1, Math.max(end, goodEnd) - from) * 1.03
  const x = (ms: number) => `${Math.min(100, Math.max(0, ((ms - from) / length) * 100))}%`
  const place = ({ from: a, to: b }: Span) => ({
    left: x(a),
    width: `${Math.max(0, ((b - a) / length) * 100)}%`,
  })
  const ticks = ticksOf(length)
  const steps = run.steps.slice(0, most)
  const several = run.steps.filter(({ instances }) => instances.length > MAP_OVER)
  const mapped = several.find(({ step }) => step === chosen?.step.step) ?? several[0]

  const spanOf = (some: readonly Part[]): Span | undefined =>
    some.length === 0 ? undefined : { from: some[0]!.from, to: some.at(-1)!.to ?? end }
  const drawn = (some: readonly Part[], shown: Shown) =>
    some.map((part, index) => {
      const isLast = index === some.length - 1
      return (
        <span
          // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
          key={index}
          title={`${part.kind === 'waits' ? 'waits' : part.kind}, ${duration((part.to ?? end) - part.from)}`}
          className={`absolute top-[9px] h-3 min-w-[3px] ${part.kind === 'failed' ? 'rounded-[1px]' : 'rounded-[3px]'} ${colours[isLast && part.kind === 'running' && shown === 'interrupted' ? 'interrupted' : part.kind]}`}
          style={place({ from: part.from, to: part.to ?? end })}
        />
      )
    })
  const stepBar = (step: Step): ReactNode => {
    if (step.started_at === undefined) return null
    const own = partsOf1(step)
    if (own !== undefined) return drawn(own, shownStep(step))
    const span = {
      from: Date.parse(step.started_at),
      to: step.finished_at ? Date.parse(step.finished_at) : end,
    }
    const done = step.instances.filter(({ status }) => status === 'success').length
    const bad = step.instances.filter(({ status }) => status === 'failed' || status === 'interrupted').length
    const share = (count: number) => ({ flexGrow: count })
    if (step.instances.length < 2)
      return (
        <span
          className={`absolute top-[9px] h-3 min-w-[3px] rounded-[3px] ${step.approval === undefined ? colours[kindOf(shownStep(step))] : 'bg-ask-soft border border-ask-line'}`}
          style={place(span)}
        />
      )
    return (
      <span
        className="absolute top-[9px] flex h-3 min-w-[3px] overflow-hidden rounded-[3px] bg-line2"
        style={place(span)}
        title={`${done} of ${step.instances.length} done, ${bad} failed`}
      >
        <span className="bg-ok" style={share(done)} />
        <span className="bg-bad" style={share(bad)} />
        <span style={share(step.instances.length - done - bad)} />
      </span>
    )
  }
  /** The parts of a step's only instance. */
  function partsOf1(step: Step): Part[] | undefined {
    return step.instances.length === 1 ? parts.get(instanceKey(step, 0)) : undefined
  }

  const foldRow = (step: Step, shown: Shown, places: Place[]) => {
    const spans = places.flatMap(({ index }) => spanOf(parts.get(instanceKey(step, index)) ?? []) ?? [])
    const key = `${nodeId(step)} ${shown}`
    const isOpen = opened.get(key) ?? false
    const half = median(places.flatMap(({ instance: { duration_ms } }) => duration_ms ?? []))
    const longest = Math.max(0, ...spans.map((span) => span.to - span.from))
    const said =
      shown === 'running'
        ? `longest ${duration(longest)}`
        : half === undefined
          ? ''
          : `median ${duration(half)}`
    return [
      <Row
        key={key}
        depth={1}
        name={`${places.length.toLocaleString('en')} ${statusWord(shown)}`}
        shown={shown}
        time={said}
        open={isOpen}
        press={() => setOpened(new Map([...opened, [key, !isOpen]]))}
      >
        {shown === 'running' && spans.length > 0 ? (
          <span
            className="absolute top-[9px] h-3 min-w-[3px] rounded-[3px] bg-accent"
            style={place({ from: Math.min(...spans.map((one) => one.from)), to: end })}
          />
        ) : (
          <Histogram ends={spans.map(({ to }) => (to - from) / length)} shown={shown} />
        )}
      </Row>,
      ...(isOpen ? places.slice(0, PAGE).map((one) => instanceRow(one, 2)) : []),
    ]
  }
  const instanceRow = (one: Place, depth: 1 | 2) => {
    const own = parts.get(instanceKey(one.step, one.index)) ?? []
    return (
      <Row
        key={instanceKey(one.step, one.index)}
        depth={depth}
        name={instanceWord(one)}
        shown={instanceShown(one)}
        reason={one.instance.reason}
        time={one.instance.duration_ms === undefined ? '' : duration(one.instance.duration_ms)}
        press={() => open(one)}
      >
        {drawn(own, instanceShown(one))}
      </Row>
    )
  }
  const instanceRows = (step: Step): ReactNode => {
    const places = placesOf(step)
    if (places.length <= FEW) return places.map((one) => instanceRow(one, 1))
    const byStatus = [...Map.groupBy(places, instanceShown)].sort(
      ([a], [b]) => statusOrder.indexOf(a) - statusOrder.indexOf(b),
    )
    return byStatus.map(([shown, some]) =>
      shown === 'failed' || shown === 'interrupted'
        ? [
            ...some.slice(0, PAGE).map((one) => instanceRow(one, 1)),
            ...(some.length > PAGE ? foldRow(step, shown, some.slice(PAGE)) : []),
          ]
        : foldRow(step, shown, some),
    )
  }

  return (
    <main aria-label="Timeline" className="flex min-h-0 flex-1 flex-col">
      <div className="flex min-h-11 shrink-0 flex-wrap items-center gap-x-4 gap-y-1 border-b border-line px-5 max-sm:px-3">
        {views}
        <button type="button" className="button" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          <Table size={13} strokeWidth={1.75} aria-hidden /> {asTable ? 'Bars' : 'Table'}
        </button>
        <span className="ml-auto flex flex-wrap gap-4 text-meta text-ink2 max-sm:hidden">
          <Legend className="h-0.5 bg-ink">critical path</Legend>
          <Legend className="h-2.5 rounded-[3px] border border-ask-line bg-ask-soft">waits</Legend>
          {good ? (
            <Legend className="border-t-2 border-dotted border-ink3">
              the last good run, {timeOf(good.created_at, now)}
            </Legend>
          ) : null}
        </span>
      </div>
      <section
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        aria-label="Steps over time"
        className="min-h-0 flex-1 overflow-y-auto pb-6 focus-visible:-outline-offset-2"
      >
        {asTable ? (
          <TimeTable run={run} goodOf={goodOf} path={path} parts={parts} end={end} />
        ) : (
          <>
            <div className="relative">
              <div className="sticky top-0 z-10 flex h-7 items-center border-b border-line bg-surface text-label text-ink2">
                <span className="timeline-names shrink-0 pl-5 max-sm:pl-3">Step</span>
                <span className="relative h-full flex-1 border-l border-line2">
                  <span className="absolute top-1.5 left-1">{timeOf(new Date(from).toISOString(), now)}</span>
                  {ticks.map(({ ms, word }) => (
                    <span
                      key={ms}
                      className="absolute top-1.5 -translate-x-1/2 whitespace-nowrap max-sm:even:hidden"
                      style={{ left: x(from + ms) }}
                    >
                      {ms / length > 0.12 && ms / length < 0.97 ? word : ''}
                    </span>
                  ))}
                </span>
              </div>
              <div aria-hidden="true" className="pointer-events-none absolute inset-0 top-7 flex">
                <span className="timeline-names shrink-0" />
                <span className="relative flex-1 border-l border-line2">
                  {ticks.map(({ ms }) => (
                    <span
                      key={ms}
                      className="absolute inset-y-0 border-l border-line"
                      style={{ left: x(from + ms) }}
                    />
                  ))}
                  {!isOver && (
                    <span
                      className="absolute inset-y-0 z-10 border-l border-accent"
                      style={{ left: x(now) }}
                    />
                  )}
                </span>
              </div>
              {steps.map((step) => {
                const id = nodeId(step)
                const isMany = step.instances.length > 1
                const hasBad = step.instances.some(({ status }) => status === 'failed')
                const isOpen = isMany && (opened.get(id) ?? (hasBad || step === chosen?.step))
                const ghost = goodOf.get(id)
                const first = placesOf(step)[0]
                const took =
                  step.started_at === undefined
                    ? ''
                    : duration(
                        (step.finished_at ? Date.parse(step.finished_at) : end) - Date.parse(step.started_at),
                      )
                return (
                  <div key={id}>
                    <Row
                      depth={0}
                      name={step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`}
                      count={isMany ? step.instances.length : undefined}
                      shown={shownStep(step)}
                      reason={isMany ? undefined : step.reason}
                      time={took}
                      open={isMany ? isOpen : undefined}
                      critical={path.has(id)}
                      press={
                        isMany
                          ? () => setOpened(new Map([...opened, [id, !isOpen]]))
                          : first && (() => open(first))
                      }
                    >
                      {path.has(id) && step.started_at !== undefined && (
                        <span
                          data-critical
                          className="absolute top-[5px] h-0.5 min-w-[3px] bg-ink"
                          style={place({
                            from: Date.parse(step.started_at),
                            to: step.finished_at ? Date.parse(step.finished_at) : end,
                          })}
                        />
                      )}
                      {stepBar(step)}
                      {ghost !== undefined && (
                        <span
                          data-last-good
                          title={`the last good run: ${duration(ghost.to - ghost.from)}`}
                          className="absolute top-6 h-0 min-w-[3px] border-t-2 border-dotted border-ink3"
                          style={place(ghost)}
                        />
                      )}
                    </Row>
                    {isOpen && instanceRows(step)}
                  </div>
                )
              })}
            </div>
            {run.steps.length > most && (
              <button type="button" className="button m-4" onClick={() => setMost(most + MOST_STEPS)}>
                {run.steps.length - most} more steps
              </button>
            )}
            {mapped !== undefined && (
              <div className="p-5 max-sm:p-3">
                <h2 className="font-semibold">
                  All {mapped.instances.length.toLocaleString('en')} instances of <bdi>{mapped.step}</bdi>
                </h2>
                <InstanceMap places={placesOf(mapped)} choose={open} columns={50} />
              </div>
            )}
          </>
        )}
      </section>
    </main>
  )
}

function kindOf(shown: Shown): Part['kind'] {
  if (shown === 'success' || shown === 'failed' || shown === 'canceled' || shown === 'interrupted')
    return shown
  return shown === 'running' ? 'running' : 'waits'
}

function Legend({ className, children }: { className: string; children: ReactNode }) {
  return (
    <span className="flex items-center gap-2">
      <span aria-hidden="true" className={`w-5 ${className}`} />
      {children}
    </span>
  )
}

interface RowProps {
  depth: 0 | 1 | 2
  name: string
  count?: number | undefined
  shown: Shown
  reason?: string | undefined
  time: string
  open?: boolean | undefined
  critical?: boolean
  press: (() => void) | undefined
  children: ReactNode
}

const indents = ['pl-5 max-sm:pl-2', 'pl-9 max-sm:pl-4', 'pl-14 max-sm:pl-6']

function Row({ depth, name, count, shown, reason, time, open, critical, press, children }: RowProps) {
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
            <span className="chip bg-bad-soft font-mono text-bad max-sm:hidden">{reason}</span>
          )}
          <span className={depth === 0 ? 'font-mono' : ''}>{time}</span>
        </span>
      </button>
      <div className="relative my-auto h-[33px] min-w-0 flex-1 overflow-hidden">{children}</div>
    </div>
  )
}

/** How many ended when, in sixty parts of the axis; `ends` are shares of it from 0 to 1. */
function Histogram({ ends, shown }: { ends: readonly number[]; shown: Shown }) {
  if (ends.length === 0) return null
  const bins = new Array<number>(60).fill(0)
  for (const end of ends) bins[Math.min(59, Math.max(0, Math.floor(end * 60)))]!++
  const highest = Math.max(...bins)
  const d = bins
    .map((count, at) =>
      count === 0 ? '' : `M${at * 10 + 1} 24v${-Math.max(3, (count / highest) * 18)}h8V24z`,
    )
    .join('')
  return (
    <svg
      aria-hidden="true"
      className="absolute inset-0 size-full"
      viewBox="0 0 600 32"
      preserveAspectRatio="none"
    >
      <path d={d} fill={shown === 'success' ? 'var(--ok)' : 'var(--ink3)'} opacity="0.6" />
    </svg>
  )
}
