import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunRecord, RunSpec } from '../../contract/run.ts'
import { isFinalRun, RunStatus } from '../../contract/status.ts'
import { RUN_SECRET } from '../../contract/step-secrets.ts'
import { hubSecrets, type Workflow } from '../../contract/workflow.ts'
import {
  type EngineOptions,
  engineClosed,
  runEnded,
  runExists,
  runSetAside,
  type Submission,
} from '../api.ts'
import type { Plan } from '../core/plan.ts'
import { Children, type ChildrenPorts } from './child-runs.ts'
import { systemClock } from './clock.ts'
import { ConcurrencyGroups } from './concurrency-limiter.ts'
import { Conductor, type ConductorPorts } from './conductor.ts'
import { Notifications, notificationOf } from './notifications.ts'
import { cancellation, foldedAsFar, SetAsideRuns } from './set-aside.ts'
import { type Loader, newRun, type Started } from './submission.ts'
import { type Feed, logOf, recordOf } from './watch.ts'

/** Longest time for which runs are resumed without a break. */
const BUSY_MS = 10

/**
 * Conducts the runs of an engine. A new run is first being submitted (`#beginning`); after a restart, an open run still
 * has to be resumed (`#left`) and is then being read (`#loading`). After that a conductor has it, until it ends, is
 * given up (`#lost`) or is set aside (`#aside`). A run that is set aside gets a conductor again when it is resumed.
 */
export class ActiveRuns {
  readonly #options: EngineOptions
  readonly #loader: Loader
  readonly #feed: Feed
  readonly #ports: ConductorPorts
  readonly #children: Children
  readonly #conductors = new Map<string, Conductor>()
  /** Runs that are being submitted. */
  readonly #beginning = new Set<string>()
  readonly #groups: ConcurrencyGroups
  /** Runs that were given up, with the store's failure. */
  readonly #lost = new Map<string, unknown>()
  readonly #aside: SetAsideRuns
  readonly #notifications: Notifications | undefined
  /** Ids of open runs that are not resumed yet, how many there were, and what is being read. */
  readonly #left = new Set<string>()
  #toTakeUp = 0
  #listing: Promise<unknown> | undefined
  readonly #loading = new Map<string, Promise<unknown>>()
  /** Settles when no run is being resumed any more. */
  #takenUp: Promise<unknown> | undefined
  #closed = false

  constructor(options: EngineOptions, loader: Loader, feed: Feed, retried: ChildrenPorts['retried']) {
    const { store, host, outputs, outputQuota, clock = systemClock } = options
    this.#options = options
    this.#loader = loader
    this.#feed = feed
    this.#ports = {
      store,
      host,
      outputs,
      outputQuota,
      clock,
      committed: (conductor, events) => this.#committed(conductor, events),
      startChild: (conductor, child) => void this.#children.start(conductor, child),
      cancelChild: (runId, force) => void this.#children.cancel(runId, force),
      passOn: options.passOn,
      storeFailed: (runId, error, tries) => this.#storeFailed(runId, error, tries),
      log: (message, about) => options.log?.(message, about),
      ...(options.onStoreFailure !== 'abandon' && {
        refused: ({ spec }, error, committed) => this.#setAside(spec, error, committed),
      }),
    }
    this.#aside = new SetAsideRuns(store, this.#ports.log, (record) => this.#overAside(record))
    this.#groups = new ConcurrencyGroups((runId) => this.#conductors.get(runId), options.concurrency)
    this.#children = new Children({
      store,
      conductor: (runId) => this.#conductors.get(runId),
      begin: (submission, started) => this.begin(loader.load(submission), submission, started),
      retried,
      cancel: (runId, how) => this.cancel(runId, how),
      closed: () => this.#closed,
    })
    if (options.notifier)
      this.#notifications = new Notifications(options.notifier, options.notify ?? {}, (runId, error) => {
        // The store takes one write of a run at a time: while the run is conducted, only its conductor writes.
        const conductor = this.#conductors.get(runId)
        if (conductor) return conductor.notifyFailed(error)
        return store.update(runId, { events: [], patch: { last_notify_error: error } })
      })
  }

  get closed(): boolean {
    return this.#closed
  }

  get(runId: string): Conductor | undefined {
    return this.#conductors.get(runId)
  }

  /** Reports whether the run is conducted here, or is going to be. */
  isOpen(runId: string): boolean {
    return this.#conductors.has(runId) || this.#beginning.has(runId) || this.#left.has(runId)
  }

  all(): Iterable<Conductor> {
    return this.#conductors.values()
  }

  /**
   * Returns the run's conductor. A run that still has to be resumed is resumed ahead of the others, but a queued one
   * only after those that run. Throws `run_not_found`, `run_ended`, `run_set_aside`, and `unavailable` for a run that
   * is conducted elsewhere.
   */
  async open(runId: string): Promise<Conductor> {
    const there = this.#conductors.get(runId)
    if (there) return there
    await this.#listing
    if (this.#left.has(runId)) await this.#resume(runId, 0)
    await this.#loading.get(runId)?.catch(() => {})
    if (this.#left.has(runId)) await this.#takenUp
    const conductor = this.#conductors.get(runId)
    if (conductor) return conductor
    this.#aside.needNot(runId)
    const { status } = await recordOf(this.#options.store, runId)
    if (isFinalRun(status)) throw runEnded(runId, status)
    throw new ErrandError('unavailable', `Run ${runId} is ${status}, but this process does not conduct it.`, {
      hint: 'Another process conducts it, or it could not be resumed. The log of the hub says why.',
    })
  }

  /** Begins a run; resolves once it is committed. */
  async begin(
    plan: Plan,
    submission: Omit<Submission, 'yaml' | 'workflow'>,
    started: Started,
  ): Promise<RunRecord> {
    const spec = newRun(plan, submission, started, this.#ports.clock.now())
    if (this.#closed) throw engineClosed()
    if (this.#beginning.has(spec.run_id)) throw runExists(spec.run_id)
    this.#beginning.add(spec.run_id)
    try {
      return await this.#begin(plan, spec, submission)
    } finally {
      this.#beginning.delete(spec.run_id)
    }
  }

  isBeginning(runId: string): boolean {
    return this.#beginning.has(runId)
  }

  async #begin(
    plan: Plan,
    spec: RunSpec,
    submission: Omit<Submission, 'yaml' | 'workflow'>,
  ): Promise<RunRecord> {
    // Checked before anything is placed: an attempt's id must never belong to another run.
    if (submission.run_id !== undefined && (await this.#options.store.get(spec.run_id)))
      throw runExists(spec.run_id)
    if (this.#conductors.has(spec.run_id)) throw runExists(spec.run_id)
    const hasSecrets = await this.#keepSecrets(spec, submission.secrets)
    try {
      await this.#create(plan, spec)
    } catch (error) {
      if (hasSecrets) await this.#options.runSecrets!.dropOfRun(spec)
      throw error
    }
    return recordOf(this.#options.store, spec.run_id)
  }

  async #create(plan: Plan, spec: RunSpec): Promise<void> {
    this.#options.outputQuota?.admit(spec)
    if (this.#options.admit) await this.#options.admit(spec)
    // Until then it is unknown which runs are inside the group.
    if (plan.workflow.concurrency) {
      await this.#takenUp
      await this.#groups.open()
    }
    if (this.#closed) throw engineClosed()
    if (this.#conductors.has(spec.run_id)) throw runExists(spec.run_id)
    const conductor = new Conductor(this.#ports, spec, plan)
    this.#conductors.set(spec.run_id, conductor)
    try {
      await conductor.create(this.#groups.enter(conductor, false))
    } catch (error) {
      this.#release(spec.run_id)
      conductor.abandon()
      throw error
    }
  }

  /**
   * Stores secrets first, so that no committed run lacks them: the given ones, and those of the run that it comes from.
   */
  async #keepSecrets(spec: RunSpec, secrets: Submission['secrets'] = {}): Promise<boolean> {
    const { runSecrets, store } = this.#options
    const values: Record<string, string> = { ...secrets }
    const missing = hubSecrets(spec.workflow as Workflow)
      .flatMap(({ names }) => names)
      .filter((name) => name.startsWith(RUN_SECRET) && !Object.hasOwn(values, name))
    const from = spec.parent?.run_id ?? spec.retry_of ?? spec.continues
    if (runSecrets && missing.length > 0 && from !== undefined) {
      const before = await runSecrets.ofRun((await store.get(from)) ?? { run_id: from, tenant: spec.tenant })
      for (const name of missing) if (before[name] !== undefined) values[name] = before[name]
    }
    if (Object.keys(values).length === 0) return false
    if (!runSecrets)
      throw new ErrandError('invalid_argument', 'This engine does not store secrets of single runs.', {
        hint: 'Set EngineOptions.runSecrets.',
      })
    try {
      await runSecrets.setOfRun(spec, values)
    } catch (error) {
      await runSecrets.dropOfRun(spec)
      throw error
    }
    return true
  }

  /** Returns how many of the open runs are resumed; undefined when all are. */
  get takingUp(): { done: number; of: number } | undefined {
    return this.#left.size === 0 ? undefined : { done: this.#toTakeUp - this.#left.size, of: this.#toTakeUp }
  }

  /**
   * Resumes the store's open runs, except those that are conducted here. New runs enter no concurrency group meanwhile.
   */
  resumeAll(open: () => Promise<readonly string[]>): Promise<void> {
    const done = this.#resumeAll(open)
    this.#takenUp = Promise.allSettled([this.#takenUp, done])
    return done
  }

  async #resumeAll(open: () => Promise<readonly string[]>): Promise<void> {
    const listing = open()
    this.#listing = listing.catch(() => [])
    for (const runId of await listing) this.#left.add(runId)
    this.#toTakeUp = this.#left.size
    let restedAtMs = performance.now()
    // Running ones first, since they are inside their concurrency groups already. Those that were set aside hold no
    // place.
    for (const turn of [0, 1, 2])
      for (const runId of this.#left) {
        await this.#resume(runId, turn)
        if (performance.now() - restedAtMs < BUSY_MS) continue
        // A store and a host may answer at once; this gives requests their turn in between.
        await new Promise((resolve) => setImmediate(resolve))
        restedAtMs = performance.now()
      }
  }

  /** Resumes a run when its turn has come: first the running ones, then the queued, then those set aside. */
  async #resume(runId: string, turn: number): Promise<void> {
    let record: RunRecord
    try {
      record = await recordOf(this.#options.store, runId)
    } catch (error) {
      if (this.#left.delete(runId)) await this.#notTakenUp({ run_id: runId }, error)
      return
    }
    const ownTurn = record.set_aside ? 2 : record.status === 'queued' ? 1 : 0
    if (ownTurn > turn || !this.#left.delete(runId)) return
    const loading = this.#load(record).finally(() => this.#loading.delete(runId))
    this.#loading.set(runId, loading)
    try {
      const conductor = await loading
      if (conductor) await this.#goOn(conductor, record)
    } catch (error) {
      await this.#notTakenUp(record, error)
    }
  }

  /** Handles a run that could not be resumed; the others are not affected. */
  async #notTakenUp(run: Pick<RunRecord, 'run_id' | 'parent' | 'set_aside'>, error: unknown): Promise<void> {
    if (this.#closed || isSetAside(error)) return
    if (this.#options.onStoreFailure === 'abandon') await this.#interrupt(run, error)
    else this.#setAside(run, error)
  }

  /** Loads a run, which is conducted from then on. Returns undefined when it already is, or never will be. */
  async #load(record: RunRecord): Promise<Conductor | undefined> {
    const { run_id } = record
    if (this.#closed || this.#conductors.has(run_id)) return undefined
    const plan = this.#loader.again(record.workflow)
    if (plan.workflow.concurrency) await this.#groups.open()
    const log = await logOf(this.#options.store, run_id)
    if (this.#closed) return undefined
    // Runs of one workflow share it.
    const stored = { log, set_aside: record.set_aside }
    const conductor = new Conductor(this.#ports, { ...record, workflow: plan.workflow }, plan, stored)
    if (conductor.state.seq !== record.last_seq) throw cutShort(record, log.length)
    this.#conductors.set(run_id, conductor)
    return conductor
  }

  async #goOn(conductor: Conductor, record: RunRecord): Promise<void> {
    const { run_id, status, set_aside } = record
    const waiting = this.#groups.enter(conductor, status === 'running' && set_aside === undefined)
    if (waiting !== undefined && status === 'running') throw groupFull(run_id, waiting)
    if (set_aside) {
      this.#aside.delete(run_id)
      this.#ports.host.takeBack?.(run_id)
    }
    await conductor.resume()
    if (record.status === 'queued' && waiting === undefined) await conductor.start()
    await this.#children.takenUp(record)
  }

  /** Resumes a run that is set aside. Throws as `EngineFace.resumeRun`. */
  async takeBack(runId: string): Promise<void> {
    await this.#aside.settled(runId)
    const record = await recordOf(this.#options.store, runId)
    if (isFinalRun(record.status)) throw runEnded(runId, record.status)
    if (!this.#aside.has(runId)) throw notSetAside(runId, record.status)
    try {
      const conductor = await this.#load(record)
      if (conductor) await this.#goOn(conductor, record)
    } catch (error) {
      if (this.#closed) throw engineClosed()
      if (isSetAside(error)) throw error
      this.#setAside(record, error)
      if (error instanceof ErrandError && error.code === 'conflict') throw error
      throw runSetAside(runId, messageOf(error))
    }
  }

  /** Cancels a run; one that is set aside ends at once. Throws `run_not_found`, `run_ended`. */
  async cancel(runId: string, how: { by?: string; message?: string; force: boolean }): Promise<void> {
    try {
      await (await this.open(runId)).cancel(how)
    } catch (error) {
      if (!this.#aside.has(runId)) throw error
      await this.#endAside(runId, how)
    }
  }

  async #endAside(runId: string, how: { by?: string; message?: string; force: boolean }): Promise<void> {
    const { store } = this.#options
    await this.#aside.settled(runId)
    const record = await recordOf(store, runId)
    if (isFinalRun(record.status)) throw runEnded(runId, record.status)
    const change = cancellation(record, await this.#foldedAsFar(record).catch(() => undefined), how)
    await store.update(runId, change)
    this.#aside.delete(runId)
    this.#notified(record, change.events)
    this.#overAside({ ...record, status: 'canceled', message: how.message })
    const statuses = RunStatus.options.filter((status) => !isFinalRun(status))
    const { runs } = await store.list({ parent_run_id: runId, statuses, limit: 500 })
    for (const child of runs) void this.#children.cancel(child.run_id, true)
  }

  /** Announces the end of a run that was set aside. */
  #overAside(record: RunRecord): void {
    this.#options.host.runEnded(record.run_id)
    this.#children.ended(record, record)
    this.#feed.report(record.run_id)
  }

  async #foldedAsFar({ run_id, workflow }: RunRecord) {
    return foldedAsFar(this.#loader.again(workflow), await logOf(this.#options.store, run_id))
  }

  /** Sets a run aside: it stays open, and nothing proceeds with it here. */
  #setAside(
    run: Pick<RunRecord, 'run_id' | 'set_aside'>,
    error: unknown,
    committed: Promise<void> = Promise.resolve(),
  ): void {
    const { run_id } = run
    const conductor = this.#conductors.get(run_id)
    this.#release(run_id)
    void conductor?.close()
    this.#ports.host.setAside?.(run_id)
    this.#aside.add(run_id, error, committed, run.set_aside)
    this.#feed.report(run_id)
  }

  /** Ends a run that cannot be resumed. */
  async #interrupt(run: Pick<RunSpec, 'run_id' | 'parent'>, error: unknown): Promise<void> {
    const { run_id } = run
    const message = `It could not be resumed: ${messageOf(error)}`
    this.#options.log?.(`Run ${run_id}: ${message}`, { level: 'error', run_id })
    const conductor = this.#conductors.get(run_id)
    this.#release(run_id)
    conductor?.abandon()
    try {
      await this.#options.store.markInterrupted(message, [run_id])
    } catch (cause) {
      const text = `Run ${run_id} could not be marked interrupted: ${messageOf(cause)}`
      this.#options.log?.(text, { level: 'error', run_id })
    }
    this.#feed.report(run_id)
    this.#children.ended(run, { status: 'interrupted', message })
  }

  /** Throws the store's failure for which the run was given up, and `run_set_aside`. */
  needNotLost(runId: string): void {
    if (this.#lost.has(runId)) throw this.#lost.get(runId)
    this.#aside.needNot(runId)
  }

  /** Returns the ids of the runs that are set aside. */
  get setAside(): string[] {
    return this.#aside.ids()
  }

  /** Implements `EngineFace.setAsideSince`. */
  setAsideSince(runId: string): string | undefined {
    return this.#aside.since(runId)
  }

  /** Resolves when notifiers have received all that has happened so far. */
  async notified(runId: string): Promise<void> {
    await this.#notifications?.settled(runId)
  }

  /** Forgets a run that was removed. */
  forget(runId: string): void {
    this.#lost.delete(runId)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#conductors.values()].map((conductor) => conductor.close()))
    this.#conductors.clear()
    this.#groups.close()
    await this.#aside.close()
    await this.#notifications?.close()
  }

  /** Stops conducting the run here. */
  #release(runId: string): void {
    this.#conductors.delete(runId)
    this.#groups.leave(runId)
  }

  /** Notifies notifiers of committed events. */
  #notified({ run_id, workflow_name }: RunSpec, events: readonly RunEvent[]): void {
    if (!this.#notifications) return
    for (const event of events) {
      const notification = notificationOf(event, { run_id, workflow_name }, this.#options.version ?? '0')
      if (notification) this.#notifications.add(notification)
    }
  }

  #committed({ spec, state }: Conductor, events: readonly RunEvent[]): void {
    const { run_id } = spec
    this.#notified(spec, events)
    if (events.at(-1)?.type === 'run.finished') {
      this.#release(run_id)
      this.#children.ended(spec, state)
    }
    this.#feed.report(run_id)
  }

  #storeFailed(run_id: string, error: unknown, tries: number): number | undefined {
    const code = error instanceof ErrandError ? error.code : 'internal'
    const hopeless = ['run_exists', 'run_not_found', 'conflict'].includes(code)
    const message = `Run ${run_id}: its events cannot be stored (try ${tries}): ${messageOf(error)}`
    this.#options.log?.(message, { level: 'error', run_id })
    if (!hopeless && this.#options.onStoreFailure !== 'abandon') return 1000
    if (!hopeless && tries < 3) return 100
    this.#giveUp(run_id, error)
    return undefined
  }

  #giveUp(runId: string, error: unknown): void {
    this.#lost.set(runId, error)
    const conductor = this.#conductors.get(runId)
    this.#release(runId)
    conductor?.abandon()
    if (conductor) this.#children.ended(conductor.spec, { status: 'failed', message: messageOf(error) })
    this.#feed.report(runId)
  }
}

/** Reports whether the error refuses a run that its conductor has already set aside. */
const isSetAside = (error: unknown): boolean => error instanceof ErrandError && error.code === 'run_set_aside'

const cutShort = ({ run_id, last_seq }: RunRecord, length: number): ErrandError =>
  new ErrandError(
    'internal',
    `The log of run ${run_id} has ${length} events, but its record says ${last_seq}.`,
  )

const notSetAside = (runId: string, status: string): ErrandError =>
  new ErrandError('conflict', `Run ${runId} is ${status}; it is not set aside.`, {
    hint: `See its state: errand runs show ${runId}`,
  })

const groupFull = (runId: string, waiting: string): ErrandError =>
  new ErrandError('conflict', `Run ${runId} cannot continue yet: ${waiting}.`, {
    hint: `Resume it when the group has room: errand runs resume ${runId}`,
  })
