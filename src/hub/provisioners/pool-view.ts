import type { MadeState, Pool, PoolView } from '../../contract/fleet/provisioning.ts'
import type { MadeRow } from '../../stores/sqlite/made-runners.ts'
import type { Demand } from '../fleet/made-groups.ts'
import type { Open } from './breaker.ts'

export interface PoolViewFacts {
  pool: Pool
  /** Those that are there, and those that went within the last hour. */
  rows: readonly MadeRow[]
  past: readonly MadeRow[]
  demands: readonly Demand[]
  open: Open | undefined
  /** Whose runs and runners are shown. */
  tenant: string
}

/** A pool as people of a tenant see it: the counts are of all, runs and runners of their own. */
export function poolView({ pool, rows, past, demands, open, tenant }: PoolViewFacts): PoolView {
  const { group, provisioner, max, spare, idle_seconds, start_seconds, paused } = pool
  const count = (...states: MadeState[]) => rows.filter(({ state }) => states.includes(state)).length
  const wentWrong = past.filter(({ end }) => end !== 'done' && end !== 'idle')
  return {
    ...{ group, provisioner, max, spare, idle_seconds, start_seconds, paused },
    counts: {
      starting: count('wanted', 'asked', 'starting'),
      idle: count('idle'),
      working: count('working'),
      removing: count('removing'),
    },
    waiting: demands.filter((demand) => demand.tenant === tenant).length,
    ...(open && {
      breaker: {
        ...{ reason: open.reason, message: open.message, failures: open.failures },
        until: new Date(open.untilMs).toISOString(),
      },
    }),
    runners: [...rows, ...wentWrong]
      .filter((row) => row.tenant === tenant)
      .map(({ stem: _, workspace: __, due_at: ___, pool: ____, ...seen }) => seen)
      .sort((a, b) => (a.created_at < b.created_at ? 1 : -1)),
  }
}
