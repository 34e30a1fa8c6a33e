import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangePool, Pool, PoolView, ProvisionedEnd } from '../../contract/fleet/provisioning.ts'
import type { Log } from '../../platform/log.ts'
import { Semaphore } from '../../platform/sync.ts'
import { Backoff } from '../../platform/time.ts'
import type { ProvisionedRow, ProvisionedRunnerStore } from '../../stores/sqlite/provisioned-runners.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { Demand } from '../fleet/provisioned-groups.ts'
import type { OutsideServices } from '../ops/outside-services.ts'
import { Breaker } from './breaker.ts'
import { EngineChecks } from './engine-checks.ts'
import { GroupSizes } from './group-sizes.ts'
import { envOf, isNameOf, nameOf, spareStem, stemOf } from './names.ts'
import { areAlike, PoolDrivers } from './pool-drivers.ts'
import { hopeless, isFailedStart, OTHER_SETTINGS, type PoolFleet, planPool } from './pool-plan.ts'
import { noPool, type PoolSettings } from './pool-settings.ts'
import { poolView, whyWaits } from './pool-view.ts'
import type { ProvisionedTokens } from './provisioned-tokens.ts'
import {
  type FoundRunner,
  ProvisionError,
  type Provisioner,
  type ProvisionNeed,
  provisionText,
} from './provisioner.ts'

export interface PoolsOptions {
  /** Id that marks what is this hub's wherever runners are made: eight hex digits. */
  hub: string
  settings: Pick<PoolSettings, 'pools' | 'changesOf' | 'change'>
  driverOf(pool: Pool): Provisioner
  store: ProvisionedRunnerStore
  tokens: ProvisionedTokens
  /** Returns the hub's address as its runners reach it, for groups that name no other. */
  url(): string
  isOpen(runId: string): boolean
  /** Returns when the run was set aside; undefined if it was not. */
  setAsideSince(runId: string): string | undefined
  /** Notes which calls to the engines worked and which failed. */
  outside?: Pick<OutsideServices, 'failed' | 'worked'>
  log: Log
  /** Milliseconds between polls of the engines. Default 15,000. */
  sweepMs?: number
  /** Longest life of a runner, in milliseconds. Default a week. */
  longestMs?: number
}

const CALLS_AT_ONCE = 5
/** Milliseconds for which removed runners are still shown. */
const REPORT_INTERVAL_MS = 3_600_000
/** Factor by which polls are more frequent while a runner that was connected is away. */
const URGENCY = 5
const WEEK_MS = 7 * 86_400_000

/** A provisioned runner while it exists, with what is known of it beyond its row. */
interface TrackedRunner {
  row: ProvisionedRow
  /** Set while its row is being worked on: stored, asked for or removed. */
  work: Promise<void> | undefined
  idleSinceMs: number | undefined
  /** True if it was connected and no longer is. */
  away: boolean
}

/**
 * Makes runners for waiting runs of groups that provision them, and removes them again. Each is in the store before
 * it is asked for and until it is gone. If something crashes in between, the next poll finds the runner. The states
 * of a row are listed at `planPool`.
 */
export class Pools {
  readonly #options: PoolsOptions
  readonly #tracked = new Map<string, TrackedRunner>()
  readonly #past: ProvisionedRow[] = []
  readonly #breakers = new Map<string, Breaker>()
  readonly #drivers: PoolDrivers
  readonly #sizes = new GroupSizes()
  readonly #checks: EngineChecks
  readonly #stop = new AbortController()
  readonly #calls = new Semaphore(CALLS_AT_ONCE)
  /** Removals have their own queue: a runner may take its time to go, and new ones do not wait for that. */
  readonly #removals = new Semaphore(CALLS_AT_ONCE)
  #fleet: PoolFleet | undefined
  #notify = () => {}
  #planned = false
  #begun = false

  constructor(options: PoolsOptions) {
    this.#options = options
    this.#drivers = new PoolDrivers(options.driverOf)
    const { settings, outside, log, sweepMs = 15_000 } = options
    this.#checks = new EngineChecks({
      ...{ drivers: this.#drivers, calls: this.#calls, outside, log, signal: this.#stop.signal },
      ...{ everyMs: sweepMs, urgentMs: sweepMs / URGENCY },
      pools: () => settings.pools(),
      isUrgent: () => [...this.#tracked.values()].some(({ away }) => away),
      look: ({ group }, driver) => {
        // Runners that are being asked for may or may not be among those found.
        const before = this.#rowsOf(group).filter(({ name }) => this.#tracked.get(name)!.work === undefined)
        return (found) => this.#compare(before, found, driver)
      },
      recovered: (group) => void this.#breakers.delete(group),
      checked: () => {
        this.#forgetPast()
        this.changed()
      },
    })
  }

  /** Loads what the previous process has made. Call it before runs are resumed. */
  async restore(): Promise<void> {
    const { store } = this.#options
    await store.forget(new Date(Date.now() - REPORT_INTERVAL_MS).toISOString())
    for (const row of await store.all())
      if (row.state === 'removed') this.#past.push(row)
      else this.#tracked.set(row.name, { row, work: undefined, idleSinceMs: undefined, away: false })
  }

  /** Sets the fleet whose runners are made. */
  serve(fleet: PoolFleet): void {
    this.#fleet = fleet
  }

  /** Starts to make and remove runners. */
  begin(): void {
    this.#begun = true
    this.#drivers.know(this.#options.settings.pools())
    for (const entry of this.#tracked.values()) this.#goOn(entry)
    this.#checks.now()
    this.changed()
  }

  /** Stops. The next process asks again for runners that are being asked for. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#checks.close()
    await Promise.all([...this.#tracked.values()].map(({ work }) => work))
    this.#drivers.close()
  }

  /** Registers a callback for whenever the result of `list` may have changed. */
  onChanged(call: () => void): void {
    this.#notify = call
  }

  /** Reports whether the group's runners are provisioned. */
  isProvisioned(group: string): boolean {
    return this.#poolOf(group) !== undefined
  }

  /** Returns the run that the runner is for; null if it has none yet; undefined if it was not provisioned. */
  runOf(tenant: string, runner: string): string | null | undefined {
    const row = this.#tracked.get(runner)?.row
    if (row?.tenant !== tenant) return undefined
    // A runner that is being removed is for nobody: it may connect only now, and would lose what it is given.
    return row.state === 'removing' ? '' : (row.run_id ?? null)
  }

  /** Binds a runner that was provisioned ahead of need to its run. */
  bound(tenant: string, runner: string, run: { run_id: string; workspace: string }): void {
    const entry = this.#tracked.get(runner)
    if (entry?.row.tenant !== tenant || entry.row.run_id !== undefined) return
    entry.row = { ...entry.row, ...run }
    // The log of the run says it too. If this write is lost, the runner is bound again when the run is resumed.
    this.#move(entry, { state: entry.row.state === 'idle' ? 'working' : entry.row.state })
    this.changed()
  }

  /** Schedules a plan after something came, went, started waiting or ended. */
  changed(): void {
    if (!this.#begun || this.#planned || this.#stop.signal.aborted) return
    this.#planned = true
    setImmediate(() => {
      this.#planned = false
      if (!this.#stop.signal.aborted) this.#plan()
    })
  }

  /** Returns why a run waits in the group, or undefined if nothing is known beyond what placement says. */
  why(group: string, demand: Demand): string | undefined {
    const pool = this.#poolOf(group)
    if (pool === undefined) return undefined
    const open = this.#breakers.get(group)?.open
    return whyWaits({ pool, rows: this.#rowsOf(group), open, silence: this.#checks.silence(group) }, demand)
  }

  /** Lists the pools for people of the tenant, who see only its runs and runners. */
  list(tenant: string): PoolView[] {
    const { settings } = this.#options
    return settings.pools().map((pool) =>
      poolView({
        pool,
        changes: tenant === DEFAULT_TENANT ? settings.changesOf(pool.group) : [],
        rows: this.#rowsOf(pool.group),
        past: this.#past.filter(({ group }) => group === pool.group),
        demands: this.#fleet?.demands(pool.group) ?? [],
        open: this.#breakers.get(pool.group)?.open,
        tenant,
      }),
    )
  }

  async change(group: string, change: ChangePool, by: string): Promise<void> {
    await this.#options.settings.change(group, change, by)
    // Whoever resumes the group has fixed what was wrong.
    if (change.paused === false) this.#breakers.delete(group)
    this.changed()
  }

  empty(group: string, { working, by }: { working: boolean; by: string }): number {
    if (!this.isProvisioned(group)) throw noPool(group)
    const all = this.#rowsOf(group).filter(
      ({ state }) => state !== 'removing' && (working || state !== 'working'),
    )
    for (const { name } of all) this.#remove(this.#tracked.get(name)!, 'emptied', `${by} emptied its group.`)
    this.#options.log(`${by} emptied group "${group}": ${all.length} runners are being removed.`)
    return all.length
  }

  #poolOf(group: string): Pool | undefined {
    return this.#options.settings.pools().find((pool) => pool.group === group)
  }

  #rowsOf(group: string): ProvisionedRow[] {
    return [...this.#tracked.values()].map(({ row }) => row).filter((row) => row.group === group)
  }

  #breakerOf(group: string): Breaker {
    const breaker = this.#breakers.get(group) ?? new Breaker()
    this.#breakers.set(group, breaker)
    return breaker
  }

  #plan(): void {
    const { isOpen, setAsideSince } = this.#options
    const fleet = this.#fleet
    if (fleet === undefined) return
    const nowMs = Date.now()
    const pools = this.#options.settings.pools()
    // The new settings may have fixed what was wrong.
    for (const group of this.#drivers.know(pools)) this.#breakers.delete(group)
    for (const pool of pools) {
      const breaker = this.#breakerOf(pool.group)
      const rows = this.#rowsOf(pool.group)
      const liveness = (name: string) =>
        fleet.liveness({ tenant: this.#tracked.get(name)!.row.tenant, id: name })
      for (const row of rows) this.#note(this.#tracked.get(row.name)!, liveness(row.name), pool, nowMs)
      const waiting = fleet.demands(pool.group)
      const known = this.#sizes.of(pool, nowMs)
      const sizes = (tenant: string) =>
        known.length === 0 ? known : [...known, ...fleet.sizesBeside(pool.group, tenant)]
      const lost = {
        ...{ pool, rows, liveness, demands: waiting, open: breaker.open, sizes },
        nowMs: performance.now(),
      }
      const hopelessPools = hopeless(lost)
      for (const { demand, end } of hopelessPools) fleet.giveUp(pool.group, demand, end)
      const { moves, removals, starts } = planPool({
        ...{ pool, rows, liveness, isOpen, setAsideSince },
        demands: hopelessPools.length > 0 ? fleet.demands(pool.group) : waiting,
        idleSince: (name) => this.#tracked.get(name)?.idleSinceMs,
        paused: pool.paused,
        breakerRoom: (starting) => breaker.room(starting, nowMs),
        silence: this.#checks.silence(pool.group),
        nowMs,
      })
      for (const { name, state } of moves) {
        if (state === 'idle' || this.#tracked.get(name)!.row.state !== 'idle') breaker.succeeded()
        this.#move(this.#tracked.get(name)!, { state, waits_for: undefined })
      }
      for (const { name, end, message } of removals) this.#remove(this.#tracked.get(name)!, end, message)
      for (const demand of starts) this.#start(pool, demand)
    }
    // Remove runners of groups that make none any more.
    for (const entry of this.#tracked.values())
      if (
        entry.row.state !== 'removing' &&
        !pools.some(({ group }) => group === entry.row.group) &&
        (entry.row.run_id === undefined || !isOpen(entry.row.run_id))
      )
        this.#remove(entry, 'emptied', 'Its group no longer provisions runners.')
    if (pools.length > 0) fleet.reportAgain()
    this.#notify()
  }

  #note(entry: TrackedRunner, liveness: ReturnType<PoolFleet['liveness']>, pool: Pool, nowMs: number): void {
    const { connected, attempts, size } = liveness
    const { row, away } = entry
    if (size !== undefined && areAlike(row.pool, pool)) this.#sizes.note(pool, size, nowMs)
    entry.away = !connected && (row.state === 'idle' || row.state === 'working')
    // The runner may have ended, and a poll shows why.
    if (entry.away && !away) this.#checks.now()
    const isIdle = connected && attempts === 0 && entry.row.run_id === undefined
    entry.idleSinceMs = isIdle ? (entry.idleSinceMs ?? nowMs) : undefined
  }

  #start(pool: Pool, demand: Demand | undefined): void {
    const { hub } = this.#options
    const stem =
      demand === undefined
        ? spareStem(hub)
        : stemOf(hub, JSON.stringify([pool.group, demand.run_id, demand.workspace]))
    const before = [...this.#past, ...[...this.#tracked.values()].map(({ row }) => row)]
    const epoch = 1 + Math.max(0, ...before.filter((row) => row.stem === stem).map((row) => row.epoch))
    const now = Date.now()
    const row: ProvisionedRow = {
      name: nameOf(stem, epoch),
      ...{ stem, epoch, group: pool.group },
      tenant: demand?.tenant ?? pool.spare_tenant ?? DEFAULT_TENANT,
      ...(demand && { run_id: demand.run_id, workspace: demand.workspace }),
      state: 'wanted',
      created_at: new Date(now).toISOString(),
      changed_at: new Date(now).toISOString(),
      due_at: new Date(now + pool.start_seconds * 1000).toISOString(),
      pool,
    }
    const entry: TrackedRunner = { row, work: undefined, idleSinceMs: undefined, away: false }
    this.#tracked.set(row.name, entry)
    this.#goOn(entry)
  }

  #remove(entry: TrackedRunner, end: ProvisionedEnd, message: string, permanent = false): void {
    if (entry.row.state === 'removing') return
    if (isFailedStart(end)) {
      this.#breakerOf(entry.row.group).failed(end, message, { permanent })
      this.#options.log(`A runner of group "${entry.row.group}" did not start (${end}): ${message}`, {
        level: 'warn',
        runner_id: entry.row.name,
      })
    }
    entry.row = { ...entry.row, end, message, waits_for: undefined }
    this.#move(entry, { state: 'removing' })
    this.#goOn(entry)
  }

  /** Changes the row and stores it in the background. A write that is lost is made up for by the next poll. */
  #move(entry: TrackedRunner, change: Partial<ProvisionedRow>): void {
    entry.row = { ...entry.row, ...change, changed_at: new Date().toISOString() }
    this.#options.store.save(entry.row).catch((error: Error) => {
      this.#options.log(`The state of runner "${entry.row.name}" could not be saved: ${error.message}`, {
        level: 'error',
      })
    })
  }

  /** Works on the row until it needs no more work. */
  #goOn(entry: TrackedRunner): void {
    if (!this.#begun || entry.work !== undefined) return
    const { state } = entry.row
    if (state !== 'wanted' && state !== 'asked' && state !== 'removing') return
    entry.work = this.#work(entry)
      .catch((error: Error) => {
        if (!this.#stop.signal.aborted)
          this.#options.log(`Runner "${entry.row.name}": ${error.message}`, { level: 'error' })
      })
      .finally(() => {
        entry.work = undefined
        if (this.#stop.signal.aborted) return
        if (this.#tracked.has(entry.row.name)) this.#goOn(entry)
        this.changed()
      })
  }

  async #work(entry: TrackedRunner): Promise<void> {
    if (entry.row.state === 'removing') await this.#takeAway(entry)
    else await this.#make(entry)
  }

  async #make(entry: TrackedRunner): Promise<void> {
    const { store, tokens, hub, url, longestMs = WEEK_MS } = this.#options
    const { signal } = this.#stop
    const { name, group, epoch, run_id = '' } = entry.row
    const pool = this.#poolOf(group)
    if (pool === undefined) return this.#remove(entry, 'emptied', 'Its group no longer provisions runners.')
    // An earlier hub may have asked for it with the settings of that time.
    if (entry.row.state === 'asked' && !areAlike(entry.row.pool, pool))
      return this.#remove(entry, 'unwanted', OTHER_SETTINGS)
    // Stored before it is asked for, so that it is known whatever crashes from here on.
    entry.row = { ...entry.row, pool, state: 'asked', changed_at: new Date().toISOString() }
    await patiently(() => store.save(entry.row), signal)
    try {
      const token = await tokens.make(entry.row)
      const env = envOf(entry.row, { pool, token, url: pool.hub_url ?? url() })
      const marks = { hub, run: run_id, epoch: String(epoch), group }
      const need = { name, group, env, marks, deadlineMs: Date.parse(entry.row.created_at) + longestMs }
      await this.#ask(entry, pool, need)
      if (entry.row.state === 'asked') this.#move(entry, { state: 'starting', waits_for: undefined })
    } catch (error) {
      if (signal.aborted) return
      const { end, permanent } =
        error instanceof ProvisionError ? error : { end: 'refused' as const, permanent: false }
      this.#remove(entry, end, provisionText(error), permanent)
    }
  }

  /** Asks until the engine says yes or no, or the runner is no longer wanted. Silence does not end a runner. */
  async #ask(entry: TrackedRunner, pool: Pool, need: ProvisionNeed): Promise<void> {
    const { signal } = this.#stop
    const isStillRequested = () => entry.row.state === 'asked' && !signal.aborted
    while (isStillRequested()) {
      const beganMs = Date.now()
      try {
        if (this.#checks.silence(pool.group) === undefined)
          return await this.#calls.run(() => this.#drivers.of(pool).provision(need, signal), signal)
      } catch (error) {
        if (signal.aborted || !(error instanceof ProvisionError && error.unanswered)) throw error
        await this.#checks.failed(pool, error, beganMs)
      }
      const waits_for = this.#checks.silence(pool.group)
      if (isStillRequested() && entry.row.waits_for !== waits_for) {
        this.#move(entry, { waits_for })
        this.changed()
      }
      await this.#checks.checkWait(pool.group)
    }
  }

  async #takeAway(entry: TrackedRunner): Promise<void> {
    const { store, tokens, log } = this.#options
    const { signal } = this.#stop
    const { name, tenant } = entry.row
    const backoff = new Backoff({ firstMs: 500, maxMs: 60_000 })
    await this.#fleet?.runners.drain({ tenant, id: name })
    const driver = this.#drivers.of(entry.row.pool)
    for (let reported = ''; ; )
      try {
        await this.#removals.run(() => driver.remove(name, signal), signal)
        break
      } catch (error) {
        if (signal.aborted) return
        const text = provisionText(error)
        if (text !== reported) {
          log(`Runner "${name}" cannot be removed yet: ${text}`, { level: 'warn', runner_id: name })
          this.#move(entry, { waits_for: text })
          this.changed()
        }
        reported = text
        await sleep(backoff.next(), undefined, { signal }).catch(() => {})
        if (signal.aborted) return
      }
    await patiently(() => tokens.revoke(entry.row), signal)
    const { end, message } = entry.row
    const why =
      (end === 'lost' || end === 'oom') && message !== undefined
        ? { reason: end, message: `Runner "${name}" is gone: ${message}` }
        : undefined
    await this.#fleet?.runners.remove({ tenant, id: name }, why)
    const changed_at = new Date().toISOString()
    entry.row = { ...entry.row, state: 'removed', waits_for: undefined, changed_at }
    await patiently(() => store.save(entry.row), signal)
    this.#tracked.delete(name)
    this.#past.push(entry.row)
    this.#forgetPast()
  }

  #forgetPast(): void {
    const since = new Date(Date.now() - REPORT_INTERVAL_MS).toISOString()
    while (this.#past[0] !== undefined && this.#past[0].changed_at < since) this.#past.shift()
  }

  async #compare(
    before: readonly ProvisionedRow[],
    found: readonly FoundRunner[],
    driver: Provisioner,
  ): Promise<void> {
    const { hub } = this.#options
    const byName = new Map(found.map((each) => [each.name, each]))
    for (const { name, tenant } of before) {
      const entry = this.#tracked.get(name)
      if (entry === undefined || entry.work !== undefined || entry.row.state === 'removing') continue
      const there = byName.get(name)
      if (there?.state === 'starting' && there.message !== entry.row.waits_for)
        this.#move(entry, { waits_for: there.message })
      if (there !== undefined && there.state !== 'ended') continue
      // A runner that speaks to the hub is there, whatever its engine says.
      if (this.#fleet?.liveness({ tenant, id: name }).connected) continue
      const isStarting = entry.row.state === 'starting'
      const message = there?.message ?? (isStarting ? 'It no longer exists.' : 'It has vanished.')
      this.#remove(entry, isStarting ? 'failed' : (there?.reason ?? 'lost'), message, there?.permanent)
    }
    for (const { name } of found)
      if (!this.#tracked.has(name) && isNameOf(hub, name)) {
        this.#options.log(`Runner "${name}" is no longer known to the hub and is being removed.`)
        await this.#removals.run(() => driver.remove(name, this.#stop.signal), this.#stop.signal)
      }
  }
}

/** Repeats the work until it succeeds: the store may be full or unreachable. */
async function patiently(work: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff({ firstMs: 200, maxMs: 10_000 })
  for (;;)
    try {
      await work()
      return
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(backoff.next(), undefined, { signal })
    }
}
