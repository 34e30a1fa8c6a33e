import { useQuery } from '@tanstack/react-query'
import { Undo2 } from 'lucide-react'
import { useState } from 'react'
import { ask } from '../data/api.ts'
import { clockOf, duration, timeOf, useNow } from '../data/clock.ts'
import { countOf } from '../data/instances.ts'
import { lastGoodQuery } from '../data/last-good.ts'
import { cancelRun, outlineQuery, type Run, type RunDetail, runQuery, type Step } from '../data/runs.ts'
import { Link, useNavigate } from '../navigation/navigation.tsx'
import { Confirm } from '../parts/confirm.tsx'

const of = (run: RunDetail) => `/api/runs/${encodeURIComponent(run.run_id)}`

/** Offers to undo what an ended run did, and lists the steps first. Shows nothing if there is nothing to undo. */
export function RollBack({ run }: { run: RunDetail }) {
  const navigate = useNavigate('/runs/$run')
  const [asking, setAsking] = useState(false)
  const { data: written } = useQuery(outlineQuery(run.run_id))
  const undone = new Set(
    run.steps
      .filter(({ phase, status }) => phase === 'rollback' && status === 'success')
      .map(({ step }) => step),
  )
  const names = (written?.steps ?? [])
    .filter(
      ({ name, rollback }) =>
        rollback !== undefined &&
        !undone.has(name) &&
        run.steps.some(
          ({ step, phase, status }) => step === name && phase === 'main' && status === 'success',
        ),
    )
    .map(({ name }) => name)
    .reverse()
  if (names.length === 0 || run.rollback?.status === 'success') return null
  return (
    <>
      <button type="button" className="button" onClick={() => setAsking(true)}>
        <Undo2 size={14} strokeWidth={1.75} aria-hidden /> Roll back…
      </button>
      {asking && (
        <Confirm
          title={`Roll back ${run.workflow_name}?`}
          keep="Leave it"
          verb="Roll back"
          doing="Starting…"
          act={async (idempotencyKey) => {
            const begun = await ask<Run>('POST', `${of(run)}/rollback`, { body: {}, idempotencyKey })
            await navigate({ to: '/runs/$run', params: { run: begun.run_id }, search: {}, hash: '' })
          }}
          as={{ do: 'rollback', run: run.run_id }}
          close={() => setAsking(false)}
        >
          A new run undoes {names.length === 1 ? 'one step' : `${names.length} steps`} in this order:{' '}
          <bdi className="font-medium text-ink">{names.slice(0, 12).join(', ')}</bdi>
          {names.length > 12 && ` and ${names.length - 12} more`}. Nothing else changes.
        </Confirm>
      )}
    </>
  )
}

/** Ends a run whose cancel still waits for its `finally` steps. */
export function EndNow({ run }: { run: RunDetail }) {
  const [asking, setAsking] = useState(false)
  return (
    <>
      <button type="button" className="button button-quiet-bad" onClick={() => setAsking(true)}>
        End now…
      </button>
      {asking && (
        <Confirm
          title={`End ${run.workflow_name} now?`}
          keep="Let it finish"
          verb="End now"
          doing="Ending…"
          act={(idempotencyKey) =>
            ask('POST', `${of(run)}/cancel`, { body: { force: true }, idempotencyKey })
          }
          as={{ do: 'cancel', run: run.run_id, force: true }}
          close={() => setAsking(false)}
        >
          The run is being canceled. Ending it now also ends its last steps (finally), so what they would
          clean up stays.
        </Confirm>
      )}
    </>
  )
}

/** Asks whether to cancel a run, and says how many steps this ends and how many never start. */
export function CancelRun({ run, close }: { run: RunDetail; close: () => void }) {
  const sum = (count: (step: Step) => number) => run.steps.reduce((all, step) => all + count(step), 0)
  const running = sum((step) => countOf(step, 'running'))
  const done = sum((step) => countOf(step, 'success'))
  const ahead = sum((step) => (step.status === 'queued' ? 1 : countOf(step, 'queued', 'waiting')))
  return (
    <Confirm
      title={`Cancel ${run.workflow_name}?`}
      keep="Keep running"
      verb="Cancel run"
      doing="Canceling…"
      act={() => cancelRun(run.run_id)}
      as={{ do: 'cancel', run: run.run_id }}
      close={close}
    >
      {running.toLocaleString('en')} {running === 1 ? 'instance ends' : 'instances end'} now.{' '}
      {done > 0 &&
        `${done.toLocaleString('en')} ${done === 1 ? 'is' : 'are'} done and ${done === 1 ? 'stays' : 'stay'}. `}
      {ahead.toLocaleString('en')} more never {ahead === 1 ? 'starts' : 'start'}. The rollback doesn't run.
    </Confirm>
  )
}

/**
 * Links to the comparison with the last good run, and estimates the time left from it while the run is active. Shows
 * nothing if there is none.
 */
export function AgainstLastGood({ run }: { run: RunDetail }) {
  const { data: good } = useQuery(lastGoodQuery(run))
  const now = useNow()
  if (!good) return null
  const ms = (from: string | undefined, to: string | undefined) =>
    from === undefined || to === undefined ? undefined : Date.parse(to) - Date.parse(from)
  const took = ms(good.started_at, good.finished_at)
  const elapsed = run.started_at === undefined ? undefined : now - Date.parse(run.started_at)
  const left = run.finished_at !== undefined || took === undefined ? undefined : took - (elapsed ?? 0)
  return (
    <span className="flex flex-wrap items-center gap-x-3">
      {left !== undefined && (
        <span title={`The last good run took ${duration(took!)}`}>
          {left > 0 ? `about ${clockOf(left)} left` : `about ${clockOf(-left)} longer than the last good run`}
        </span>
      )}
      <Link
        from="/runs/$run"
        search={(was) => ({ ...was, compare: 'last-good' })}
        title={good.run_id}
        className="reach text-accent hover:underline max-sm:hidden"
      >
        Compare with the last good run, {timeOf(good.created_at, now)}
      </Link>
    </span>
  )
}

/** Shows the run that an instance has started: a link to its page and, while it is active, the ways to end it alone. */
export function StartedRun({ id, where }: { id: string; where: string }) {
  const [asking, setAsking] = useState(false)
  const { data: run } = useQuery(runQuery(id))
  const isOpen = run !== undefined && run.finished_at === undefined
  return (
    <div className="flex min-h-10 shrink-0 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-1.5 text-meta text-ink2">
      <p>
        Started{' '}
        <Link
          to="/runs/$run"
          params={{ run: id }}
          search={{}}
          title={id}
          className="inline-flex min-h-6 items-center text-accent hover:underline"
        >
          <bdi>{run?.workflow_name ?? id}</bdi>
        </Link>
        . Its steps are {where}.
      </p>
      {isOpen && (
        <span className="ml-auto flex gap-2">
          {run.cancel !== undefined && <EndNow run={run} />}
          <button type="button" className="button button-quiet-bad" onClick={() => setAsking(true)}>
            Cancel this run…
          </button>
        </span>
      )}
      {asking && run !== undefined && <CancelRun run={run} close={() => setAsking(false)} />}
    </div>
  )
}
