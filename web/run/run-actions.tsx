import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Undo2 } from 'lucide-react'
import { useState, useSyncExternalStore } from 'react'
import type { Workflow } from '../../src/contract/workflow.ts'
import { ask } from '../data/api.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { getWorkflow, type Run, type WholeRun } from '../data/runs.ts'
import { Confirm } from '../parts/confirm.tsx'

const of = (run: WholeRun) => `/api/runs/${encodeURIComponent(run.run_id)}`

/** Undoes what an ended run did, after saying which steps that are; nothing is shown where there is none. */
export function RollBack({ run }: { run: WholeRun }) {
  const navigate = useNavigate({ from: '/runs/$run' })
  const [asking, setAsking] = useState(false)
  const { data } = useQuery({
    queryKey: ['workflow', run.run_id],
    queryFn: ({ signal }) => getWorkflow(run.run_id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  const written = data?.workflow as Pick<Workflow, 'steps'> | undefined
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
          close={() => setAsking(false)}
        >
          A new run undoes {names.length === 1 ? 'one step' : `${names.length} steps`}, in this order:{' '}
          <bdi className="font-medium text-ink">{names.slice(0, 12).join(', ')}</bdi>
          {names.length > 12 && ` and ${names.length - 12} more`}. All else stays as it is.
        </Confirm>
      )}
    </>
  )
}

/** Ends a run whose cancel still waits for its `finally` steps; nothing is shown before it was asked to cancel. */
export function EndNow({ run, feed }: { run: WholeRun; feed: RunFeed }) {
  const [asking, setAsking] = useState(false)
  useSyncExternalStore(feed.watch, () => feed.version)
  const asked = feed.events.some(({ type }) => type === 'run.cancel_requested')
  if (!asked) return null
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
          close={() => setAsking(false)}
        >
          It is being canceled. Its last steps (finally) are ended too, and what they would tidy up stays.
        </Confirm>
      )}
    </>
  )
}
