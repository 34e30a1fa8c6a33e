import { failedStarts, type MadeEnd, type Pool } from '../../contract/fleet/provisioning.ts'
import type { Reason } from '../../contract/status.ts'
import type { MadeRow } from '../../stores/sqlite/made-runners.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import { type Demand, demandKey, type WaitingDemand } from '../fleet/made-groups.ts'
import type { Open } from './breaker.ts'
import { areAlike } from './pool-drivers.ts'

/** How the hub sees the runner of a row. */
export interface Seen {
  connected: boolean
  /** Takes work: it is connected, and neither drained nor about to end. */
  open: boolean
  /** Connected once, and away for longer than the hub waits. */
  lost: boolean
  /** Attempts that it has. */
  attempts: number
}

export interface PoolFacts {
  pool: Pool
  /** Of the group, without those that are removed. */
  rows: readonly MadeRow[]
  demands: readonly Demand[]
  /** By name. */
  seen(name: string): Seen
  isOpen(runId: string): boolean
  /** Since when a runner has had nothing to do; undefined: it has. */
  idleSince(name: string): number | undefined
  paused: boolean
  /** How many the breaker lets start, where so many start already. */
  breakerRoom(starting: number): number
  nowMs: number
}

export interface PoolPlan {
  /** Rows whose state is another one now. */
  moves: { name: string; state: 'idle' | 'working' }[]
  /** Rows to be taken away. */
  removals: { name: string; end: MadeEnd; message: string }[]
  /** Runs for which one is made; undefined: for whatever comes. */
  starts: (Demand | undefined)[]
}

/** Why one goes that has not started yet. */
export const OTHER_SETTINGS = 'Its group has other settings now: another is made by them.'

/** Whether the group makes runners that would do for it. */
export const canServe = ({ labels }: Pool, { labels: needed }: Pick<Demand, 'labels'>): boolean =>
  Object.entries(needed).every(([name, value]) => labels[name] === value)

const isStarting = ({ state }: MadeRow): boolean =>
  state === 'wanted' || state === 'asked' || state === 'starting'

/** Decides what becomes of a group's runners, of facts alone. */
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
    const { connected } = facts.seen(row.name)
    const isThere = connected && row.state !== 'wanted'
    if ((isThere && isStarting(row)) || (row.state === 'idle' && state === 'working'))
      plan.moves.push({ name: row.name, state })
  }
  const staying = rows.filter(({ name, state }) => state !== 'removing' && !leaving.has(name))
  const served = new Set(staying.map(({ run_id = '', workspace = '' }) => demandKey({ run_id, workspace })))
  const unbound = staying.filter(({ run_id }) => run_id === undefined)
  // One that is taken away has its place until it is gone, but not one that never was.
  const taken = rows.filter(({ end }) => end === undefined || !isFailedStart(end)).length
  let room = paused
    ? 0
    : Math.max(0, Math.min(pool.max - taken, facts.breakerRoom(staying.filter(isStarting).length)))
  // What is there for whatever comes next is taken first, by runs of its tenant: by a spare that starts as well.
  const free = countBy(unbound, ({ tenant }) => tenant)
  let untaken = unbound.length
  const waiting: Demand[] = []
  for (const demand of facts.demands) {
    // Many may wait: those behind change nothing.
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
  row: MadeRow,
  { seen, isOpen, nowMs, pool }: PoolFacts,
): { end: MadeEnd; message: string } | undefined {
  const { connected, lost, attempts } = seen(row.name)
  const { run_id } = row
  if (isStarting(row) && !connected) {
    if (run_id !== undefined && !isOpen(run_id))
      return { end: 'unwanted', message: 'Its run was over before it was there.' }
    if (row.state !== 'wanted' && !areAlike(row.pool, pool))
      return { end: 'unwanted', message: OTHER_SETTINGS }
    if (nowMs <= Date.parse(row.due_at) || row.state === 'wanted') return undefined
    const waits = row.waits_for === undefined ? '' : ` Last heard of it: ${row.waits_for}`
    return { end: 'late', message: `It was not connected within ${pool.start_seconds} s.${waits}` }
  }
  // What an ended run has left to tell is told first.
  if (run_id !== undefined && !isOpen(run_id) && attempts === 0)
    return { end: 'done', message: 'Its run is over.' }
  if (!connected && lost) return { end: 'lost', message: 'It was connected, and has vanished.' }
  return undefined
}

const countBy = <T>(all: readonly T[], key: (one: T) => string): Map<string, number> =>
  new Map([...Map.groupBy(all, key)].map(([name, some]) => [name, some.length]))

/** Takes away what has been without work for too long, beside the spares; the one that was there first stays longest. */
function trimIdle(
  plan: PoolPlan,
  { pool, nowMs, idleSince }: PoolFacts,
  unbound: readonly MadeRow[],
  surplusOf: (tenant: string) => number,
): void {
  const removed = new Map<string, number>()
  for (const { name, tenant } of unbound.toReversed()) {
    const since = idleSince(name)
    const before = removed.get(tenant) ?? 0
    if (before >= surplusOf(tenant)) continue
    if (since === undefined || nowMs - since < pool.idle_seconds * 1000) continue
    removed.set(tenant, before + 1)
    plan.removals.push({ name, end: 'idle', message: `It had nothing to do for ${pool.idle_seconds} s.` })
  }
}

export interface HopelessFacts extends Pick<PoolFacts, 'pool' | 'rows' | 'seen'> {
  demands: readonly WaitingDemand[]
  /** Why nothing is made just now. */
  open: Open | undefined
  /** By the steady clock. */
  nowMs: number
}

/** Runs that have waited for `start_seconds` and will do so for ever: none starts until a person mends it, or their own does not take them. */
export function hopeless({ pool, rows, seen, demands, open, nowMs }: HopelessFacts) {
  const { group, start_seconds } = pool
  const idle = rows.filter(({ name, state }) => {
    const { open, attempts } = seen(name)
    return state === 'working' && open && attempts === 0
  })
  // Many may wait: mostly nothing of theirs has to be looked at.
  if (idle.length === 0 && !open?.permanent) return []
  const keyOf = (row: MadeRow) => demandKey({ run_id: '', workspace: '', ...row })
  const [own, ownIdle] = [new Map(rows.map((row) => [keyOf(row), row])), new Set(idle)]
  const late = demands.filter(({ waitsSinceMs }) => nowMs - waitsSinceMs >= start_seconds * 1000)
  return late.flatMap((demand): { demand: Demand; end: { reason: Reason; message?: string } }[] => {
    const row = own.get(demandKey(demand))
    if (row?.state === 'working') return ownIdle.has(row) ? [{ demand, end: { reason: 'rejected' } }] : []
    const message = `no runner of group "${group}" could be started: ${open?.message}`
    return open?.permanent ? [{ demand, end: { reason: 'start_failed', message } }] : []
  })
}

/** Whether an end counts as a failed start. */
export const isFailedStart = (end: MadeEnd): boolean => failedStarts.includes(end)
