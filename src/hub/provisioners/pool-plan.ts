import { failedStarts, type Pool, type ProvisionedEnd } from '../../contract/fleet/provisioning.ts'
import type { Reason } from '../../contract/status.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import type { ProvisionedRow } from '../../stores/sqlite/provisioned-runners.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import { type Demand, demandKey, type Size, type WaitingDemand } from '../fleet/provisioned-groups.ts'
import type { Open } from './breaker.ts'
import { isWithin, tooLarge } from './group-sizes.ts'
import { areAlike } from './pool-drivers.ts'

/** Describes the runner of a row as the hub sees it. */
export interface RunnerLiveness {
  connected: boolean
  /** True if it takes work: it is connected, and neither drained nor about to end. */
  open: boolean
  /** True if it was connected once, and has been away for longer than the hub waits. */
  lost: boolean
  /** Number of attempts that it has. */
  attempts: number
  /** Size that it reported; set while it is connected. */
  size?: Size
}

/** The fleet, as provisioning sees it. */
export interface PoolFleet {
  /** Lists the runs that wait for a runner of the group, longest wait first. */
  demands(group: string): WaitingDemand[]
  /** Ends everything that waits for the run's runner of the group in this way. */
  giveUp(group: string, demand: Demand, end: { reason: Reason; message?: string }): void
  liveness(which: TenantRunner): RunnerLiveness
  /** Same as `Fleet.sizesBeside`. */
  sizesBeside(group: string, tenant: string): Size[]
  /** Updates the reasons for waiting. */
  reportAgain(): void
  readonly runners: {
    /** Makes the runner take nothing new. */
    drain(which: TenantRunner): Promise<unknown>
    /** Removes the runner for good, with the reason. */
    remove(which: TenantRunner, why?: { reason: 'lost' | 'oom'; message: string }): Promise<unknown>
  }
}

export interface PoolFacts {
  pool: Pool
  /** Rows of the group, without removed ones. */
  rows: readonly ProvisionedRow[]
  demands: readonly Demand[]
  /** Returns the hub's view of the runner with this name. */
  liveness(name: string): RunnerLiveness
  isOpen(runId: string): boolean
  /** Returns when the run was set aside; undefined if it was not. */
  setAsideSince(runId: string): string | undefined
  /** Returns since when a runner has had nothing to do; undefined if it has something to do. */
  idleSince(name: string): number | undefined
  paused: boolean
  /** Returns how many runners the breaker lets start, given how many are starting already. */
  breakerRoom(starting: number): number
  /** Message that the engine does not answer, and since when; undefined if it answers. */
  silence: string | undefined
  nowMs: number
}

export interface PoolPlan {
  /** Rows that get another state now. */
  moves: { name: string; state: 'idle' | 'working' }[]
  /** Rows to remove. */
  removals: { name: string; end: ProvisionedEnd; message: string }[]
  /** Runs that get a new runner; undefined stands for a spare one. */
  starts: (Demand | undefined)[]
}

/** Milliseconds that the runner of a run that is set aside is held for it. */
export const SET_ASIDE_MS = 24 * 3_600_000

/** Reason for removing a runner that has not started yet. */
export const OTHER_SETTINGS =
  'The settings of its group have changed. Another runner is started with the new ones.'

/** Reports whether runners of the group would do for the demand. */
export const canServe = ({ labels }: Pool, { labels: needed }: Pick<Demand, 'labels'>): boolean =>
  Object.entries(needed).every(([name, value]) => labels[name] === value)

const isStarting = ({ state }: ProvisionedRow): boolean =>
  state === 'wanted' || state === 'asked' || state === 'starting'

/**
 * Decides, from facts alone, which of a group's runners change state, which are removed and which are added.
 * A row goes through these states. `Pools` does the calls and moves it where this plan does not.
 * - `wanted`: stored, nothing asked yet. Then `asked`.
 * - `asked`: the engine is being asked. Then `starting`.
 * - `starting`: the engine has accepted it. `idle` or `working` once it connects.
 * - `idle`: connected, without a run. `working` once it gets its first attempt.
 * - `working`: it serves its run.
 * - `removing`: any state leads here. `removed` once the engine has taken the runner away.
 */
export function planPool(facts: PoolFacts): PoolPlan {
  const { pool, rows, paused } = facts
  const plan: PoolPlan = { moves: [], removals: [], starts: [] }
  const leaving = new Set<string>()
  for (const row of rows) {
    if (row.state === 'removing') continue
    const removal = whyRemoved(row, facts)
    if (removal !== undefined) {
      plan.removals.push({ name: row.name, ...removal })
      leaving.add(row.name)
      continue
    }
    const state = row.run_id === undefined ? 'idle' : 'working'
    const { connected } = facts.liveness(row.name)
    const isThere = connected && row.state !== 'wanted'
    if ((isThere && isStarting(row)) || (row.state === 'idle' && state === 'working'))
      plan.moves.push({ name: row.name, state })
  }
  const staying = rows.filter(({ name, state }) => state !== 'removing' && !leaving.has(name))
  const served = new Set(staying.map(({ run_id = '', workspace = '' }) => demandKey({ run_id, workspace })))
  const unbound = staying.filter(({ run_id }) => run_id === undefined)
  // A runner that is being removed counts until it is gone, unless it failed to start.
  const taken = rows.filter(({ end }) => end === undefined || !isFailedStart(end)).length
  let room = paused
    ? 0
    : Math.max(0, Math.min(pool.max - taken, facts.breakerRoom(staying.filter(isStarting).length)))
  // Runs first take what is free for any run of their tenant, including spares that are still starting.
  const free = countBy(unbound, ({ tenant }) => tenant)
  let untaken = unbound.length
  const waiting: Demand[] = []
  for (const demand of facts.demands) {
    // Many may wait; those further back change nothing.
    if (untaken === 0 && waiting.length >= room) break
    if (!canServe(pool, demand) || served.has(demandKey(demand))) continue
    const left = free.get(demand.tenant) ?? 0
    free.set(demand.tenant, left - 1)
    if (left > 0) untaken--
    else waiting.push(demand)
  }
  const spareTenant = pool.spare_tenant ?? DEFAULT_TENANT
  const spares = Math.max(0, free.get(spareTenant) ?? 0)
  trimIdle(plan, facts, unbound, (tenant) =>
    tenant === spareTenant ? spares - pool.spare : (free.get(tenant) ?? 0),
  )
  plan.starts.push(...waiting.slice(0, room))
  room -= plan.starts.length
  for (let missing = pool.spare - spares; missing > 0 && room > 0; missing--, room--)
    plan.starts.push(undefined)
  return plan
}

function whyRemoved(
  row: ProvisionedRow,
  { liveness, isOpen, setAsideSince, nowMs, pool, silence }: PoolFacts,
): { end: ProvisionedEnd; message: string } | undefined {
  const { connected, lost, attempts } = liveness(row.name)
  const { run_id } = row
  if (isStarting(row) && !connected) {
    if (run_id !== undefined && !isOpen(run_id))
      return { end: 'unwanted', message: 'Its run ended, or was set aside, before the runner connected.' }
    if (row.state !== 'wanted' && !areAlike(row.pool, pool))
      return { end: 'unwanted', message: OTHER_SETTINGS }
    if (nowMs <= Date.parse(row.due_at) || row.state === 'wanted') return undefined
    const waitsFor = row.waits_for === undefined ? '' : ` Its last report: ${row.waits_for}`
    const waits = silence === undefined ? waitsFor : ` ${silence}`
    return { end: 'late', message: `It did not connect within ${pool.start_seconds} s.${waits}` }
  }
  // The runner first reports what is left of an ended run.
  if (run_id !== undefined && !isOpen(run_id) && attempts === 0) {
    const since = setAsideSince(run_id)
    if (since === undefined) return { end: 'done', message: 'Its run has ended.' }
    // A resumed run continues where its files are.
    if (nowMs - Date.parse(since) >= SET_ASIDE_MS)
      return { end: 'done', message: `Its run has been set aside since ${since}.` }
  }
  if (!connected && lost)
    return {
      end: 'lost',
      message:
        silence === undefined
          ? 'It was connected, and has vanished.'
          : `It was connected and has not been heard from since. It is not known whether it is running. ${silence}`,
    }
  return undefined
}

const countBy = <T>(all: readonly T[], key: (one: T) => string): Map<string, number> =>
  new Map([...Map.groupBy(all, key)].map(([name, some]) => [name, some.length]))

/** Removes runners that have been idle for too long and are not needed as spares. The oldest stay longest. */
function trimIdle(
  plan: PoolPlan,
  { pool, nowMs, idleSince }: PoolFacts,
  unbound: readonly ProvisionedRow[],
  surplusOf: (tenant: string) => number,
): void {
  const removed = new Map<string, number>()
  for (const { name, tenant } of unbound.toReversed()) {
    const since = idleSince(name)
    const before = removed.get(tenant) ?? 0
    if (before >= surplusOf(tenant)) continue
    if (since === undefined || nowMs - since < pool.idle_seconds * 1000) continue
    removed.set(tenant, before + 1)
    plan.removals.push({ name, end: 'idle', message: `It was idle for ${pool.idle_seconds} s.` })
  }
}

export interface HopelessFacts extends Pick<PoolFacts, 'pool' | 'rows' | 'liveness'> {
  demands: readonly WaitingDemand[]
  /** Why no runner is provisioned at the moment. */
  open: Open | undefined
  /** Returns the sizes that a runner of the group may have for runs of this tenant; empty if not known yet. */
  sizes(tenant: string): readonly Size[]
  /** Milliseconds of the monotonic clock. */
  nowMs: number
}

interface Hopeless {
  demand: Demand
  end: { reason: Reason; message?: string }
}

/**
 * Returns the runs that would wait forever. Runs that ask for more than any runner of the group has are returned at
 * once. Others follow after `start_seconds`: no runner starts for them until a person fixes the cause, or their own
 * runner does not take them.
 */
export function hopeless(facts: HopelessFacts): Hopeless[] {
  const { group } = facts.pool
  const byTenant = new Map<string, readonly Size[]>()
  const large = facts.demands.flatMap((demand): Hopeless[] => {
    const sizes = byTenant.get(demand.tenant) ?? facts.sizes(demand.tenant)
    byTenant.set(demand.tenant, sizes)
    if (sizes.length === 0 || sizes.some((size) => isWithin(demand.size, size))) return []
    return [{ demand, end: { reason: 'rejected', message: tooLarge(group, demand.size, sizes) } }]
  })
  const placed = new Set(large.map(({ demand }) => demand))
  return [...large, ...waitTooLong(facts).filter(({ demand }) => !placed.has(demand))]
}

function waitTooLong({ pool, rows, liveness, demands, open, nowMs }: HopelessFacts): Hopeless[] {
  const { group, start_seconds } = pool
  const idle = rows.filter(({ name, state }) => {
    const { open, attempts } = liveness(name)
    return state === 'working' && open && attempts === 0
  })
  // Many may wait, and mostly none of them has to be checked.
  if (idle.length === 0 && !open?.permanent) return []
  const keyOf = (row: ProvisionedRow) => demandKey({ run_id: '', workspace: '', ...row })
  const [own, ownIdle] = [new Map(rows.map((row) => [keyOf(row), row])), new Set(idle)]
  const late = demands.filter(({ waitsSinceMs }) => nowMs - waitsSinceMs >= start_seconds * 1000)
  return late.flatMap((demand): Hopeless[] => {
    const row = own.get(demandKey(demand))
    if (row?.state === 'working') return ownIdle.has(row) ? [{ demand, end: { reason: 'rejected' } }] : []
    const message = `no runner of group "${group}" could be started: ${open?.message}`
    return open?.permanent ? [{ demand, end: { reason: 'start_failed', message } }] : []
  })
}

/** Reports whether an end counts as a failed start. */
export const isFailedStart = (end: ProvisionedEnd): boolean => failedStarts.includes(end)
