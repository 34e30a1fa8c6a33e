import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Table } from 'lucide-react'
import { type ReactNode, useMemo, useState } from 'react'
import { LEAST_WAIT_MS, workOf } from '../../../src/contract/runs/work-times.ts'
import { duration, timeOf, useNow } from '../../data/clock.ts'
import { countOf, isWhole, overviewQuery } from '../../data/instances.ts'
import { useLastGood } from '../../data/last-good.ts'
import { outlineQuery, type RunDetail, type Step, shownStep } from '../../data/runs.ts'
import { StatusMark, statusWord } from '../../parts/status-mark.tsx'
import { firstOf, type InstanceRef, MAP_OVER } from '../chosen-instance.ts'
import { nodeId, nodesOf } from '../graph/nodes.ts'
import { FILTER_OVER, InstanceField, useInstanceFilter } from '../instance-filter.tsx'
import { InstanceMap } from '../instance-map.tsx'
import { instanceStatuses } from '../run-search.ts'
import { criticalPath, stepParts, ticksOf } from './bars.ts'
import { type Axis, InstanceBars, isFiltering, Parts, Row } from './instance-bars.tsx'
import { type Span, TimeTable } from './time-table.tsx'

/** Number of steps shown at first. */
const MOST_STEPS = 60

interface Props {
  run: RunDetail
  chosen: InstanceRef | undefined
  /** Opens a place with its log. */
  open: (ref: InstanceRef) => void
  views: ReactNode
}

/** Shows steps and instances over time, with the last good run below them and the critical path marked. */
export default function TimelineView({ run, chosen, open, views }: Props) {
  const { data: written } = useQuery(outlineQuery(run.run_id))
  const { data: good } = useLastGood(run)
  const path = useMemo(() => criticalPath(nodesOf(run, written)), [run, written])
  const [opened, setOpened] = useState<ReadonlyMap<string, boolean>>(new Map())
  const [most, setMost] = useState(MOST_STEPS)
  const [asTable, setAsTable] = useState(false)
  const filter = useInstanceFilter()
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
  const axis: Axis = { from, length, end, place }
  const several = run.steps.filter((step) => countOf(step) > MAP_OVER)
  const mapped = several.find(({ step }) => step === chosen?.step.step) ?? several[0]
  return (
    <main aria-label="Timeline" className="flex min-h-0 flex-1 flex-col">
      <div className="flex min-h-11 shrink-0 flex-wrap items-center gap-x-4 gap-y-1 border-b border-line px-edge max-sm:px-3 max-sm:py-1.5">
        {views}
        <button type="button" className="button" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          <Table size={13} strokeWidth={1.75} aria-hidden /> {asTable ? 'Bars' : 'Table'}
        </button>
        {!asTable && run.steps.some((step) => countOf(step) > FILTER_OVER) && <Filter run={run} />}
        <span className="ml-auto flex flex-wrap gap-4 text-meta text-ink2 max-sm:hidden">
          <Legend className="h-0.5 bg-ink">critical path</Legend>
          <Legend className="border-t-2 border-dotted border-ask">waiting</Legend>
          {good ? (
            <Legend className="border-t-2 border-dotted border-ink3">
              last good run, {timeOf(good.created_at, now)}
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
          <TimeTable run={run} goodOf={goodOf} path={path} />
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
                      className={`absolute top-1.5 -translate-x-1/2 whitespace-nowrap max-sm:even:hidden ${ms / length < 0.42 ? 'max-sm:hidden' : ''}`}
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
                const count = countOf(step)
                const isMany = count > 1
                const hasBad = countOf(step, 'failed') > 0
                const isFiltered = isFiltering(filter)
                // A filter opens what was folded before.
                const opening = isFiltered ? `${id} ${filter.status} ${filter.text}` : id
                const isOpen =
                  isMany && (opened.get(opening) ?? (isFiltered || hasBad || step === chosen?.step))
                const ghost = goodOf.get(id)
                const work = workOf(step, now)
                const waited = work === undefined || work.waitedMs < LEAST_WAIT_MS ? undefined : work.waitedMs
                return (
                  <div key={id}>
                    <Row
                      depth={0}
                      name={step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`}
                      count={isMany ? count : undefined}
                      shown={shownStep(step)}
                      reason={isMany ? undefined : step.reason}
                      time={work === undefined ? '' : duration(work.workedMs)}
                      waited={waited}
                      open={isMany ? isOpen : undefined}
                      critical={path.has(id)}
                      press={
                        isMany
                          ? () => setOpened(new Map([...opened, [opening, !isOpen]]))
                          : () => open(firstOf(step))
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
                      <Parts
                        parts={stepParts(step, isWhole(step), end)}
                        shown={shownStep(step)}
                        axis={axis}
                      />
                      {ghost !== undefined && (
                        <span
                          data-last-good
                          title={`Last good run: ${duration(ghost.to - ghost.from)}`}
                          className="absolute top-6 h-0 min-w-[3px] border-t-2 border-dotted border-ink3"
                          style={place(ghost)}
                        />
                      )}
                    </Row>
                    {isOpen && <InstanceBars {...{ run, step, axis, filter, open }} />}
                  </div>
                )
              })}
            </div>
            {run.steps.length > most && (
              <button type="button" className="button m-4" onClick={() => setMost(most + MOST_STEPS)}>
                {run.steps.length - most} more {run.steps.length - most === 1 ? 'step' : 'steps'}
              </button>
            )}
            {mapped !== undefined && (
              <div className="p-5 max-sm:p-3">
                <OverviewMap run={run} step={mapped} open={open} />
              </div>
            )}
          </>
        )}
      </section>
    </main>
  )
}

/** Filters the instances listed below the steps by text and status. */
function Filter({ run }: Pick<Props, 'run'>) {
  const { status, set } = useInstanceFilter()
  const several = run.steps.filter((step) => countOf(step) > 1)
  const count = (...some: Step['status'][]) =>
    several.reduce((sum, step) => sum + countOf(step, ...some), 0).toLocaleString('en')
  const statuses = instanceStatuses.filter((one) => one === status || count(one) !== '0')
  return (
    <>
      <InstanceField label="Filter instances" className="w-60 max-sm:w-full" />
      <fieldset aria-label="Instance status" className="segments max-w-full overflow-x-auto">
        {[undefined, ...statuses].map((one) => (
          <button
            key={one ?? 'all'}
            type="button"
            className="segment shrink-0 px-2"
            aria-pressed={one === status}
            title={one && statusWord(shownStep({ status: one }))}
            onClick={() => set({ status: one })}
          >
            {one === undefined ? (
              `All ${count()}`
            ) : (
              <>
                <StatusMark shown={shownStep({ status: one })} size={12} /> {count(one)}
              </>
            )}
          </button>
        ))}
      </fieldset>
    </>
  )
}

/** Shows all instances of the step that has the most to show. */
function OverviewMap({ run, step, open }: Pick<Props, 'run' | 'open'> & { step: Step }) {
  const { data } = useQuery({
    ...overviewQuery(run.run_id, step, step.finished_at ?? run.last_seq),
    placeholderData: keepPreviousData,
  })
  return (
    <>
      <h2 className="font-semibold">
        All {countOf(step).toLocaleString('en')} instances of <bdi>{step.step}</bdi>
      </h2>
      {data !== undefined && (
        <InstanceMap run={run.run_id} step={step} states={data.instances} choose={open} columns={50} />
      )}
    </>
  )
}

function Legend({ className, children }: { className: string; children: ReactNode }) {
  return (
    <span className="flex items-center gap-2">
      <span aria-hidden="true" className={`w-5 ${className}`} />
      {children}
    </span>
  )
}
