import type { Pool, PoolChange, PoolView, ProvisionedState } from '../../contract/fleet/provisioning.ts'
import type { ProvisionedRow } from '../../stores/sqlite/provisioned-runners.ts'
import type { Demand } from '../fleet/provisioned-groups.ts'
import type { Open } from './breaker.ts'
import { canServe } from './pool-plan.ts'
import { sentence } from './provisioner.ts'

export interface PoolViewFacts {
  pool: Pool
  /** Changes that this tenant may see. */
  changes: readonly PoolChange[]
  /** Current runners, and those that were removed within the last hour. */
  rows: readonly ProvisionedRow[]
  past: readonly ProvisionedRow[]
  demands: readonly Demand[]
  open: Open | undefined
  /** Tenant whose runs and runners are shown. */
  tenant: string
}

/**
 * Returns a pool as people of a tenant see it. The counts cover all tenants; waiting runs and runners are only their
 * own.
 */
export function poolView({ pool, changes, rows, past, demands, open, tenant }: PoolViewFacts): PoolView {
  const { group, provisioner, max, spare, idle_seconds, start_seconds, paused } = pool
  const count = (...states: ProvisionedState[]) => rows.filter(({ state }) => states.includes(state)).length
  const wentWrong = past.filter(({ end }) => end !== 'done' && end !== 'idle')
  return {
    ...{ group, provisioner, max, spare, idle_seconds, start_seconds, paused },
    ...(pool.image !== undefined && { image: pool.image }),
    ...(pool.namespace !== undefined && { namespace: pool.namespace }),
    changes: [...changes],
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
        since: new Date(open.sinceMs).toISOString(),
        until: new Date(open.untilMs).toISOString(),
      },
    }),
    runners: [...rows, ...wentWrong]
      .filter((row) => row.tenant === tenant)
      .map(({ stem: _, workspace: __, due_at: ___, pool: ____, ...seen }) => seen)
      .sort((a, b) => (a.created_at < b.created_at ? 1 : -1)),
  }
}

/** Returns why a run waits for a runner of the pool, or undefined if nothing is known beyond what placement says. */
export function whyWaits(
  {
    pool,
    rows,
    open,
    silence,
  }: Pick<PoolViewFacts, 'pool' | 'rows' | 'open'> & { silence: string | undefined },
  demand: Demand,
): string | undefined {
  const { group, max } = pool
  if (!canServe(pool, demand)) {
    const missing = Object.entries(demand.labels).filter(([name, value]) => pool.labels[name] !== value)
    return `the runners that group "${group}" provisions do not have the label ${missing.map((each) => each.join('=')).join(', ')}`
  }
  const mine = rows.find(
    ({ run_id, workspace, state }) =>
      run_id === demand.run_id && workspace === demand.workspace && state !== 'removing',
  )
  // The runner is there, so placement knows what keeps the run from it.
  if (mine?.state === 'working') return undefined
  const waitsFor = silence ?? mine?.waits_for
  if (mine !== undefined)
    return `a runner of group "${group}" is being started for it${waitsFor === undefined ? '' : `: ${waitsFor}`}`
  if (pool.paused) return `group "${group}" is paused, so no runner is started for it`
  if (open !== undefined)
    return `no runner of group "${group}" could be started since ${new Date(open.sinceMs).toISOString()}: ${sentence(open.message)} Next try at ${new Date(open.untilMs).toISOString()}`
  const stuck = rows.filter(({ state, waits_for }) => state === 'removing' && waits_for !== undefined)
  if (rows.length >= max)
    return `group "${group}" has reached its max of ${max}, and ${stuck.length === 0 ? 'all runners are in use' : `${stuck.length} of its runners cannot be removed yet: ${stuck[0]!.waits_for}`}`
  return undefined
}
