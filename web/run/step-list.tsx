import { ChevronDown, ChevronRight } from 'lucide-react'
import { lazy, type ReactNode, Suspense, useState } from 'react'
import { duration, median } from '../data/clock.ts'
import { type Shown, type Step, shownStep, type WholeRun } from '../data/runs.ts'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { Took } from '../parts/times.tsx'
import {
  instanceShown,
  instanceWord,
  MAP_OVER,
  type Place,
  placeName,
  placesOf,
  statusOrder,
} from './chosen-instance.ts'

const InstanceMap = lazy(async () => ({ default: (await import('./instance-map.tsx')).InstanceMap }))

/** Over so many instances are folded by status. */
const FEW = 8
const PAGE = 10

interface Props {
  run: WholeRun
  chosen: Place | undefined
  choose: (place: Place) => void
}

const row =
  'flex h-[30px] w-full items-center gap-2.5 px-4 text-left hover:bg-hover aria-[current=true]:bg-sel aria-[current=true]:shadow-[inset_2px_0_0_var(--accent)] max-sm:h-11'

function InstanceRow({
  place,
  isChosen,
  choose,
}: {
  place: Place
  isChosen: boolean
  choose: Props['choose']
}) {
  const { instance } = place
  return (
    <li>
      <button type="button" className={`${row} pl-9`} aria-current={isChosen} onClick={() => choose(place)}>
        <StatusMark shown={instanceShown(place)} size={14} />
        <bdi className="min-w-0 flex-1 truncate">{instanceWord(place)}</bdi>
        <span className="font-mono text-meta text-ink2">
          {instance.duration_ms === undefined ? '' : duration(instance.duration_ms)}
        </span>
      </button>
    </li>
  )
}

/** Instances of one status behind a line; what failed is open, and the rest comes on demand. */
function Fold({ shown, places, chosen, choose }: { shown: Shown; places: Place[] } & Omit<Props, 'run'>) {
  const isBad = shown === 'failed' || shown === 'interrupted'
  const [open, setOpen] = useState(isBad)
  const [most, setMost] = useState(PAGE)
  const rows = open ? places.slice(0, most) : []
  const half = median(places.flatMap(({ instance: { duration_ms } }) => duration_ms ?? []))
  const Icon = open ? ChevronDown : ChevronRight
  return (
    <>
      <li>
        <button
          type="button"
          className={`${row} pl-8 text-ink2`}
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          <Icon size={13} strokeWidth={1.75} aria-hidden />
          <StatusMark shown={shown} size={14} beside />
          <span className="flex-1">
            {places.length} {statusWord(shown)}
          </span>
          {half !== undefined && (
            <span className="text-label text-ink3" title="median">
              ~ {duration(half)}
            </span>
          )}
        </button>
      </li>
      {rows.map((place) => (
        <InstanceRow
          key={place.index}
          place={place}
          isChosen={chosen?.step.step === place.step.step && chosen.index === place.index}
          choose={choose}
        />
      ))}
      {open && places.length > most && (
        <li>
          <button type="button" className={`${row} pl-14 text-accent`} onClick={() => setMost(most + 100)}>
            {places.length - most} more
          </button>
        </li>
      )}
    </>
  )
}

function StepRow({ step, chosen, choose }: { step: Step } & Omit<Props, 'run'>) {
  const places = placesOf(step)
  const isIn = chosen?.step.step === step.step && chosen.step.phase === step.phase
  const hasBad = places.some(({ instance }) => instance.status === 'failed')
  const [opened, setOpened] = useState<boolean>()
  const open = opened ?? (hasBad || isIn)
  const several = places.length > 1
  const byStatus = Map.groupBy(places, instanceShown)
  const shown = shownStep(step)
  const title = step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`
  return (
    <>
      <li>
        <button
          type="button"
          className={`${row} ${shown === 'ahead' || shown === 'skipped' ? 'text-ink3' : ''}`}
          aria-current={isIn && !several}
          aria-expanded={several ? open : undefined}
          onClick={() =>
            several ? setOpened(!open) : places[0] === undefined ? undefined : choose(places[0])
          }
        >
          <StatusMark shown={shown} size={14} />
          <bdi className={`min-w-0 flex-1 truncate ${shown === 'failed' ? 'font-semibold' : 'font-medium'}`}>
            {title}
          </bdi>
          {several && <span className="text-label text-ink3">{places.length}</span>}
          <span className="text-meta text-ink2">
            <Took from={step.started_at} to={step.finished_at} />
          </span>
        </button>
      </li>
      {open && places.length > MAP_OVER && (
        <li className="px-4 py-2">
          <Suspense>
            <InstanceMap places={places} choose={choose} columns={16} />
          </Suspense>
        </li>
      )}
      {several &&
        open &&
        (places.length <= FEW
          ? places.map((place) => (
              <InstanceRow
                key={placeName(place)}
                place={place}
                isChosen={isIn && chosen.index === place.index}
                choose={choose}
              />
            ))
          : [...byStatus]
              .sort(([a], [b]) => statusOrder.indexOf(a) - statusOrder.indexOf(b))
              .map(([status, some]) => (
                <Fold
                  key={status}
                  shown={status}
                  places={some}
                  chosen={isIn ? chosen : undefined}
                  choose={choose}
                />
              )))}
    </>
  )
}

/** Counts by status, such as `4 done, 1 failed`. */
function counts(steps: readonly Step[]): string {
  const of = (...some: Step['status'][]) => steps.filter(({ status }) => some.includes(status)).length
  return [
    [of('success'), 'done'],
    [of('failed', 'interrupted'), 'failed'],
    [of('running', 'waiting'), 'going on'],
    [of('skipped', 'canceled'), 'did not run'],
  ]
    .filter(([count]) => (count as number) > 0)
    .map(([count, word]) => `${count} ${word}`)
    .join(', ')
}

/** Steps in the order of the file, what comes afterwards apart. */
export function StepList({ run, chosen, choose, views }: Props & { views?: ReactNode }) {
  const main = run.steps.filter(({ phase }) => phase === 'main')
  const after = run.steps.filter(({ phase }) => phase !== 'main')
  return (
    <nav aria-label="Steps">
      <div className="flex min-h-10 items-center justify-between gap-2 px-4 py-1.5">
        <h2 className="font-semibold">
          Steps <span className="ml-1 text-label font-normal text-ink2">{counts(main)}</span>
        </h2>
        {views}
      </div>
      <ul>
        {main.map((step) => (
          <StepRow key={step.step} step={step} chosen={chosen} choose={choose} />
        ))}
      </ul>
      {after.length > 0 && (
        <>
          <h3 className="px-4 pt-3 pb-1 text-label text-ink2">Afterwards</h3>
          <ul>
            {after.map((step) => (
              <StepRow key={`${step.phase}${step.step}`} step={step} chosen={chosen} choose={choose} />
            ))}
          </ul>
        </>
      )}
    </nav>
  )
}
