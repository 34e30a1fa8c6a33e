import { useQuery } from '@tanstack/react-query'
import { ArrowUpRight } from 'lucide-react'
import { type ReactNode, Suspense, useState } from 'react'
import { duration } from '../data/clock.ts'
import { countOf, isWhole } from '../data/instances.ts'
import { feedStart, useRunFeed } from '../data/run-feed.ts'
import { type RunDetail, runQuery, type Step, shownStep } from '../data/runs.ts'
import { Link } from '../navigation/navigation.tsx'
import { later } from '../parts/later.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { Took, Waited } from '../parts/times.tsx'
import {
  firstOf,
  type InstanceRef,
  instanceName,
  instanceShown,
  instancesOf,
  instanceWord,
} from './chosen-instance.ts'
import { type Level, MOST_DEEP } from './chosen-path.ts'

/** Loaded when a step has many instances. */
export const StepInstances = later(() => import('./step-instances.tsx'))

/** More instances than this are folded by status. */
const FEW = 8

interface Props {
  run: RunDetail
  /** The path to the open place, from this run inwards. */
  path: readonly Level[]
  /** Opens the place that these names lead to, from this run inwards. */
  open: (names: readonly string[]) => void
  depth?: number
}

const row =
  'flex h-[30px] w-full items-center gap-2.5 px-4 text-left hover:bg-hover aria-[current=true]:bg-sel aria-[current=true]:shadow-[inset_2px_0_0_var(--accent)] max-sm:h-11'

interface ItemProps extends Omit<Props, 'run'> {
  place: InstanceRef
}

const isAt = (path: readonly Level[], { step, index }: InstanceRef) =>
  path[0]?.place.step.step === step.step &&
  path[0].place.step.phase === step.phase &&
  path[0].place.index === index

/** Lists the steps of the run that an open instance has started, below the instance. */
function Started({ place, path, open, depth = 0, inset = 'ml-[23px]' }: ItemProps & { inset?: string }) {
  const id = place.instance.child_run_id
  if (id === undefined || !isAt(path, place)) return null
  const inside = (names: readonly string[]) => open([instanceName(place), ...names])
  return (
    <li className={`${inset} border-l border-line`}>
      <SubRun id={id} path={path.slice(1)} open={inside} depth={depth + 1} />
    </li>
  )
}

function SubRun({ id, depth = 0, ...props }: Omit<Props, 'run'> & { id: string }) {
  const isDeep = depth > MOST_DEEP
  const { data: run, error } = useQuery(runQuery(id))
  const isOpen = run !== undefined && run.finished_at === undefined && !isDeep
  useRunFeed(isOpen ? id : undefined, run && feedStart(run))
  return (
    <>
      <Link
        to="/runs/$run"
        params={{ run: id }}
        search={{}}
        aria-label={`Open run ${run?.workflow_name ?? id}`}
        title={id}
        className={`${row} pl-2.5 text-meta text-accent hover:underline`}
      >
        <bdi className="min-w-0 truncate">{run?.workflow_name ?? id}</bdi>
        <ArrowUpRight size={13} strokeWidth={1.75} aria-hidden className="shrink-0" />
      </Link>
      {error !== null && <p className="px-2.5 pb-1 text-meta text-ink2">{error.message}</p>}
      {run !== undefined && !isDeep && (
        <ul aria-label={`Steps of ${run.workflow_name}`}>
          {run.steps.map((step) => (
            <StepRow key={`${step.phase} ${step.step}`} {...props} depth={depth} run={run} step={step} />
          ))}
        </ul>
      )}
    </>
  )
}

function InstanceRow({ folded = false, ...props }: ItemProps & { folded?: boolean }) {
  const { place, path, open, depth } = props
  const { instance } = place
  return (
    <>
      <li>
        <button
          type="button"
          className={`${row} ${folded ? (depth ? 'pl-11' : 'pl-14') : depth ? 'pl-6' : 'pl-9'}`}
          aria-current={isAt(path, place) && path.length === 1}
          onClick={() => open([instanceName(place)])}
        >
          <StatusMark shown={instanceShown(place)} size={14} />
          <bdi className="min-w-0 flex-1 truncate">{instanceWord(place)}</bdi>
          <span className="font-mono text-meta text-ink2">
            {instance.duration_ms === undefined ? '' : duration(instance.duration_ms)}
          </span>
        </button>
      </li>
      <Started {...props} inset={folded ? 'ml-[63px]' : 'ml-[43px]'} />
    </>
  )
}

function StepRow({ run, step, ...props }: Props & { step: Step }) {
  const { path, open, depth } = props
  const chosen = path[0]?.place
  const count = countOf(step)
  const isIn = chosen?.step.step === step.step && chosen.step.phase === step.phase
  const hasBad = countOf(step, 'failed') > 0
  const [opened, setOpened] = useState<boolean>()
  const several = count > 1
  const isOpen = several && (opened ?? (hasBad || isIn))
  const shown = shownStep(step)
  const title = step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`
  const only = several ? undefined : firstOf(step)
  const instance = (place: InstanceRef, folded = false) => (
    <InstanceRow key={place.index} {...{ place, folded }} {...props} />
  )
  return (
    <>
      <li>
        <button
          type="button"
          className={`${row} ${depth ? 'pl-2.5' : ''} ${shown === 'ahead' || shown === 'skipped' ? 'text-ink3' : ''}`}
          aria-current={isIn && !several && path.length === 1}
          aria-expanded={several ? isOpen : undefined}
          onClick={() => (only === undefined ? setOpened(!isOpen) : open([instanceName(only)]))}
        >
          <StatusMark shown={shown} size={14} />
          <bdi className={`min-w-0 flex-1 truncate ${shown === 'failed' ? 'font-semibold' : 'font-medium'}`}>
            {title}
          </bdi>
          {several && <span className="text-label text-ink3">{count.toLocaleString('en')}</span>}
          <span className="text-meta text-ink2">
            <Waited of={step} className="mr-2 text-label" />
            <Took of={step} />
          </span>
        </button>
      </li>
      {only !== undefined && <Started place={only} {...props} />}
      {isOpen &&
        (count <= FEW && isWhole(step) ? (
          instancesOf(step).map((place) => instance(place))
        ) : (
          <Suspense>
            <StepInstances
              run={run}
              step={step}
              chosen={isIn ? chosen : undefined}
              choose={(place) => open([instanceName(place)])}
              row={(place) => instance(place, true)}
            />
          </Suspense>
        ))}
    </>
  )
}

/** Counts steps by status: `4 done, 1 failed`. */
function counts(steps: readonly Step[]): string {
  const of = (...some: Step['status'][]) => steps.filter(({ status }) => some.includes(status)).length
  return [
    [of('success'), 'done'],
    [of('failed', 'interrupted'), 'failed'],
    [of('running'), 'running'],
    [of('waiting'), 'waiting'],
    [of('skipped', 'canceled'), 'did not run'],
  ]
    .filter(([count]) => (count as number) > 0)
    .map(([count, word]) => `${count} ${word}`)
    .join(', ')
}

/** Lists the steps in the order of the file; those that run afterwards follow separately. */
export function StepList({ views, ...props }: Omit<Props, 'depth'> & { views?: ReactNode }) {
  const { run } = props
  const main = run.steps.filter(({ phase }) => phase === 'main')
  const after = run.steps.filter(({ phase }) => phase !== 'main')
  return (
    <nav aria-label="Steps">
      <div className="flex min-h-10 items-center justify-between gap-2 px-4 py-1.5">
        <h2 className="truncate font-semibold" title={counts(main)}>
          Steps <span className="ml-1 text-label font-normal text-ink2">{counts(main)}</span>
        </h2>
        {views}
      </div>
      <ul>
        {main.map((step) => (
          <StepRow key={step.step} step={step} {...props} />
        ))}
      </ul>
      {after.length > 0 && (
        <>
          <h3 className="px-4 pt-3 pb-1 text-label text-ink2">Afterwards</h3>
          <ul>
            {after.map((step) => (
              <StepRow key={`${step.phase}${step.step}`} step={step} {...props} />
            ))}
          </ul>
        </>
      )}
    </nav>
  )
}
