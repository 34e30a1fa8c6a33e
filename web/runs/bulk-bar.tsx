import { useState } from 'react'
import type { Action } from '../data/as-command.ts'
import { type Chosen, changeRuns, type Run, type RunFilter } from '../data/runs.ts'
import { Confirm } from '../parts/confirm.tsx'

type Counts = { total: number; by_status: Partial<Record<Run['status'], number>>; more: readonly string[] }

interface Props {
  chosen: readonly Run[]
  filter: RunFilter
  /** Counts of the filter; undefined until the hub has counted. */
  counts: Counts | undefined
  isAll: boolean
  chooseAll: () => void
  /** Ends the selection, except for the given runs. */
  clear: (left?: readonly string[]) => void
}

const openStatuses: readonly Run['status'][] = ['running', 'queued']
const failedStatuses: readonly Run['status'][] = ['failed', 'canceled', 'interrupted']
const number = (count: number) => count.toLocaleString('en')
const runsWord = (count: number) => `${number(count)} ${count === 1 ? 'run' : 'runs'}`

/** Acts on all selected runs at once; each action first asks, and says in figures what it will do. */
export function BulkBar({ chosen, filter, counts, isAll, chooseAll, clear }: Props) {
  const [asking, setAsking] = useState<'cancel' | 'retry'>()
  const by = (statuses: readonly Run['status'][]) =>
    statuses.flatMap((status) => {
      const count = isAll
        ? (counts?.by_status[status] ?? 0)
        : chosen.filter((run) => run.status === status).length
      return count > 0 ? [[status, count] as const] : []
    })
  const [open, again] = [by(openStatuses), by(failedStatuses)]
  const sum = (parts: typeof open) => parts.reduce((all, [, count]) => all + count, 0)
  const parts = asking === 'cancel' ? open : again
  const act = (action: 'cancel' | 'retry') => async (key: string) => {
    const fitting = action === 'cancel' ? openStatuses : failedStatuses
    const statuses = (filter.status?.split(',') ?? fitting).filter((one) =>
      fitting.includes(one as Run['status']),
    )
    const which: Chosen = isAll
      ? { all: { ...filter, status: statuses.join(',') }, expect: Object.fromEntries(parts) }
      : { ids: chosen.filter(({ status }) => fitting.includes(status)).map(({ run_id }) => run_id) }
    const { results } = await changeRuns(action, which, key)
    // A run that has ended meanwhile no longer needs a cancel.
    clear(results.filter(({ error }) => error && error.code !== 'run_ended').map(({ run_id }) => run_id))
  }
  const commandOf = (action: 'cancel' | 'retry'): Action => {
    const fitting = action === 'cancel' ? openStatuses : failedStatuses
    if (isAll) {
      const status = (filter.status?.split(',') ?? fitting).filter((one) =>
        fitting.includes(one as Run['status']),
      )
      return { do: 'bulk', action, filter: { ...filter, status: status.join(',') } }
    }
    const runs = chosen.filter(({ status }) => fitting.includes(status)).map(({ run_id }) => run_id)
    return { do: 'each', action, runs }
  }
  const total = counts?.total ?? 0
  const canAll = !isAll && total > chosen.length && counts?.more.length === 0
  return (
    <>
      <section
        aria-label="Selection"
        className="fixed bottom-6 left-1/2 z-30 flex -translate-x-1/2 items-center gap-2 rounded-xl border border-line bg-raised px-3 py-2 whitespace-nowrap max-sm:bottom-20 max-sm:w-[calc(100vw-1rem)] max-sm:flex-wrap"
        style={{ boxShadow: 'var(--float)' }}
      >
        <span className="px-1 font-medium">{number(isAll ? total : chosen.length)} selected</span>
        {canAll && (
          <button type="button" className="button button-plain" onClick={chooseAll}>
            Select all {number(total)} matching runs
          </button>
        )}
        {again.length > 0 && (
          <button type="button" className="button" onClick={() => setAsking('retry')}>
            Retry {number(sum(again))} failed…
          </button>
        )}
        {open.length > 0 && (
          <button type="button" className="button button-quiet-bad" onClick={() => setAsking('cancel')}>
            Cancel {number(sum(open))}…
          </button>
        )}
        <button type="button" className="button button-plain" onClick={() => clear()}>
          Clear <kbd className="key max-sm:hidden">Esc</kbd>
        </button>
      </section>
      {asking !== undefined && (
        <Confirm
          title={`${asking === 'cancel' ? 'Cancel' : 'Retry'} ${runsWord(sum(parts))}?`}
          keep={asking === 'cancel' ? 'Keep running' : 'Leave them'}
          verb={`${asking === 'cancel' ? 'Cancel' : 'Retry'} ${runsWord(sum(parts))}`}
          doing={asking === 'cancel' ? 'Canceling…' : 'Retrying…'}
          destructive={asking === 'cancel'}
          close={() => setAsking(undefined)}
          act={act(asking)}
          as={commandOf(asking)}
        >
          {parts.map(([status, count]) => `${number(count)} ${status}`).join(', ')}.{' '}
          {asking === 'cancel'
            ? 'Running runs end now. Queued runs never start.'
            : 'Each starts a new run that reuses the results that succeeded.'}
        </Confirm>
      )}
    </>
  )
}
