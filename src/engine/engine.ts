import { type ActionCatalog, builtinActions } from '../contract/actions.ts'
import type { GivenInput } from '../contract/agent.ts'
import type { StreamName } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import { attemptId, newRunId, RunId } from '../contract/ids.ts'
import type { RunRecord, RunSpec, RunView } from '../contract/run.ts'
import { isFinalRun } from '../contract/status.ts'
import type { Log } from '../platform/log.ts'
import { Children } from './children.ts'
import { Conductor, type ConductorPorts, runEnded } from './conductor.ts'
import { engineClosed } from './engine-closed.ts'
import { evolve } from './evolve.ts'
import type { EngineFace, Submission } from './face.ts'
import { Feed } from './feed.ts'
import { fillText } from './file/template.ts'
import { Gate } from './gate.ts'
import { withinGroup } from './group.ts'
import type { InputAddress } from './inputs.ts'
import { firstVariables, Loader } from './load.ts'
import { Notifications, type NotifyOptions, notificationOf } from './notifications.ts'
import type { Plan } from './plan.ts'
import type { Clock, Notifier, OutputStore, RunPage, RunQuery, RunStore, StepHost } from './ports.ts'
import { carriedOver, rollbackWorkflow } from './retry.ts'
import { initialState, type RunState } from './state.ts'
import { logOf, recordOf } from './stored-run.ts'
import { systemClock } from './system-clock.ts'
import { viewOf } from './view.ts'
import { watch } from './watch.ts'

export interface EngineOptions {
  store: RunStore
  host: StepHost
  outputs: OutputStore
  /** Default: the actions that ship with Errand. */
  catalog?: ActionCatalog
  notifier?: Notifier
  notify?: NotifyOptions
  clock?: Clock
  /** Throws to refuse a run, before anything of it is kept. */
  admit?: (run: RunSpec) => Promise<void>
  /** Told to notifiers. */
  version?: string
  /**
   * When the store cannot keep an event: `retry` goes on trying, each second, and nothing moves on meanwhile;
   * `abandon` gives the run up after three tries, ends its processes and makes `done` reject. Default `retry`.
   */
  onStoreFailure?: 'retry' | 'abandon'
  /** Told of what needs a person's attention. */
  log?: Log
}

type Started = Pick<RunSpec, 'parent' | 'retry_of' | 'carried'>

/** Conducts runs: the hub, the CLI and programs that embed Errand use this same class with other ports. */
export class Engine implements EngineFace {
  readonly #options: EngineOptions
  readonly #ports: ConductorPorts
  readonly #loader: Loader
  readonly #children: Children
  readonly #feed = new Feed()
  readonly #gate = new Gate()
  readonly #conductors = new Map<string, Conductor>()
  readonly #lost = new Map<string, unknown>()
  readonly #notifications: Notifications | undefined
  #closed = false

  constructor(options: EngineOptions) {
    const { store, host, outputs, clock = systemClock, catalog = builtinActions } = options
    this.#options = options
    this.#loader = new Loader(catalog)
    this.#ports = {
      store,
      host,
      outputs,
      clock,
      committed: (conductor, events) => this.#committed(conductor, events),
      startChild: (conductor, child) => void this.#children.start(conductor, child),
      cancelChild: (runId, force) => void this.#children.cancel(runId, force),
      storeFailed: (runId, error, tries) => this.#storeFailed(runId, error, tries),
      log: (message, about) => options.log?.(message, about),
    }
    this.#children = new Children({
      store,
      conductor: (runId) => this.#conductors.get(runId),
      begin: (submission, parent) => this.#begin(this.#loader.load(submission), submission, { parent }),
      cancel: (runId, how) => this.cancel(runId, how),
      closed: () => this.#closed,
    })
    if (options.notifier)
      this.#notifications = new Notifications(options.notifier, options.notify ?? {}, (runId, error) => {
        // The store takes one write of a run at a time: while it is conducted, they are its conductor's.
        const conductor = this.#conductors.get(runId)
        if (conductor) return conductor.notifyFailed(error)
        return store.update(runId, { events: [], patch: { last_notify_error: error } })
      })
  }

  async submit(submission: Submission): Promise<RunRecord> {
    const loaded = this.#loader.load(submission)
    const { group, repository = '' } = submission
    const plan =
      group === undefined ? loaded : this.#loader.again(withinGroup(loaded.workflow, group, repository))
    return this.#begin(plan, submission, {})
  }

  get(runId: string): Promise<RunRecord | undefined> {
    return this.#options.store.get(runId)
  }

  list(query: RunQuery): Promise<RunPage> {
    return this.#options.store.list(query)
  }

  /** How many runs are conducted here, by status. */
  openRuns(): Record<'queued' | 'running', number> {
    const open = { queued: 0, running: 0 }
    for (const { state } of this.#conductors.values())
      if (state.status === 'queued' || state.status === 'running') open[state.status]++
    return open
  }

  async view(runId: string): Promise<RunView> {
    const { record, plan, state } = await this.#folded(runId)
    return viewOf(record, plan, state)
  }

  async *watch(
    runId: string,
    after: number,
    signal?: AbortSignal,
    { outputBytes = Number.POSITIVE_INFINITY }: { outputBytes?: number } = {},
  ): AsyncGenerator<RunEvent> {
    await this.#record(runId)
    const { store, outputs } = this.#options
    const ports = { store, outputs, feed: this.#feed, closed: () => this.#closed }
    yield* watch(ports, { runId, after, outputBytes }, signal)
  }

  output(runId: string, number: number, stream: StreamName, start: number, end: number): Promise<Buffer> {
    return this.#options.outputs.read(attemptId(runId, number), stream, start, end)
  }

  outputLength(runId: string, number: number, stream: StreamName): Promise<number> {
    return this.#options.outputs.length(attemptId(runId, number), stream)
  }

  async cancel(
    runId: string,
    options: { by?: string; message?: string; force?: boolean } = {},
  ): Promise<void> {
    await (await this.#open(runId)).cancel({ ...options, force: options.force ?? false })
  }

  async answer(runId: string, answer: Parameters<EngineFace['answer']>[1]): Promise<void> {
    await (await this.#open(runId)).answer(answer)
  }

  async input(runId: string, given: GivenInput, to: InputAddress = {}): Promise<{ input_id: string }> {
    return { input_id: await (await this.#open(runId)).give(given, to) }
  }

  async retry(
    runId: string,
    { only, owner }: { only: 'all' | 'failed'; owner?: string },
  ): Promise<RunRecord> {
    const { record, plan, state } = await this.#ended(runId)
    const carried = only === 'failed' ? carriedOver(plan, state) : undefined
    const { blueprint, continues, vars, tenant, repository } = record
    const submission = { blueprint, continues, vars, owner: owner ?? record.owner, tenant, repository }
    return this.#begin(plan, submission, { retry_of: runId, carried })
  }

  async rollback(runId: string, { owner }: { owner?: string } = {}): Promise<RunRecord> {
    const { record, plan, state } = await this.#ended(runId)
    const undo = this.#loader.load({ workflow: rollbackWorkflow(plan, state) })
    const { tenant, repository } = record
    return this.#begin(undo, { owner: owner ?? record.owner, tenant, repository }, { retry_of: runId })
  }

  async remove(runIds: readonly string[]): Promise<void> {
    const { store, outputs } = this.#options
    for (const runId of runIds) {
      const run = await store.get(runId)
      if (run && (!isFinalRun(run.status) || this.#conductors.has(runId))) throw notEnded(runId, run.status)
    }
    // The record last: what a failure leaves is found by it, and removed again.
    for (const runId of runIds) await outputs.remove(runId)
    await store.remove(runIds)
    for (const runId of runIds) {
      this.#lost.delete(runId)
      this.#feed.tell(runId)
    }
  }

  async done(runId: string): Promise<RunRecord> {
    for (;;) {
      const stop = new AbortController()
      // Asked for before reading, so that a commit in between is not missed.
      const grown = this.#feed.next(runId, stop.signal)
      try {
        const record = await this.#record(runId)
        if (this.#lost.has(runId)) throw this.#lost.get(runId)
        if (isFinalRun(record.status)) {
          await this.#notifications?.settled(runId)
          return await this.#record(runId)
        }
        if (this.#closed)
          throw new ErrandError('unavailable', `The engine was closed before run ${runId} ended.`)
        await grown
      } finally {
        stop.abort()
      }
    }
  }

  async resume(only?: readonly string[]): Promise<void> {
    const records = await this.#openRecords(only)
    // First those that run: they are inside their concurrency groups already.
    const running = (record: RunRecord) => (record.status === 'running' ? 0 : 1)
    for (const record of records.sort((a, b) => running(a) - running(b))) {
      if (this.#closed) return
      if (!this.#conductors.has(record.run_id)) await this.#takeUp(record)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#conductors.values()].map((conductor) => conductor.close()))
    this.#conductors.clear()
    await this.#notifications?.close()
    this.#feed.close()
  }

  async #openRecords(only: readonly string[] | undefined): Promise<RunRecord[]> {
    const records: RunRecord[] = []
    for (const runId of await this.#options.store.open()) {
      if (only !== undefined && !only.includes(runId)) continue
      try {
        records.push(await this.#record(runId))
      } catch (error) {
        await this.#interrupt({ run_id: runId }, error)
      }
    }
    return records
  }

  async #takeUp(record: RunRecord): Promise<void> {
    const { run_id } = record
    try {
      const plan = this.#loader.again(record.workflow)
      const conductor = new Conductor(this.#ports, record, plan, await logOf(this.#options.store, run_id))
      if (this.#closed) return
      this.#conductors.set(run_id, conductor)
      const waiting = this.#enter(conductor, record.status === 'running')
      await conductor.resume()
      if (record.status === 'queued' && waiting === undefined) await conductor.start()
      await this.#children.takenUp(record)
    } catch (error) {
      if (!this.#closed) await this.#interrupt(record, error)
    }
  }

  /** It cannot be taken up again; the others are none the worse for it. */
  async #interrupt(run: Pick<RunSpec, 'run_id' | 'parent'>, error: unknown): Promise<void> {
    const message = `It could not be taken up again: ${messageOf(error)}`
    this.#options.log?.(`Run ${run.run_id}: ${message}`, { level: 'error', run_id: run.run_id })
    const conductor = this.#conductors.get(run.run_id)
    this.#letGo(run.run_id)
    conductor?.abandon()
    try {
      await this.#options.store.markInterrupted(message, [run.run_id])
    } catch (cause) {
      this.#options.log?.(`Run ${run.run_id} could not be marked interrupted: ${messageOf(cause)}`, {
        level: 'error',
        run_id: run.run_id,
      })
    }
    this.#feed.tell(run.run_id)
    this.#children.ended(run, { status: 'interrupted', message })
  }

  async #begin(
    plan: Plan,
    submission: Omit<Submission, 'yaml' | 'workflow'>,
    started: Started,
  ): Promise<RunRecord> {
    const { workflow } = plan
    const run_id = RunId.safeParse(submission.run_id ?? newRunId())
    if (!run_id.success)
      throw new ErrandError(
        'invalid_argument',
        `"${submission.run_id}" is no run id: ${run_id.error.issues[0]?.message}.`,
      )
    const spec: RunSpec = {
      run_id: run_id.data,
      blueprint: submission.blueprint ?? 'workflow',
      workflow_name: workflow.name,
      workflow,
      vars: firstVariables(workflow, submission.vars),
      owner: submission.owner ?? 'local',
      tenant: submission.tenant ?? 'default',
      created_at: new Date(this.#ports.clock.now()).toISOString(),
      ...(submission.repository === undefined ? {} : { repository: submission.repository }),
      ...(submission.continues === undefined ? {} : { continues: submission.continues }),
      ...(submission.replaces === undefined ? {} : { replaces: submission.replaces }),
      ...started,
    }
    if (this.#closed) throw engineClosed()
    // Looked up before anything is placed: an attempt's id must never be another run's.
    if (submission.run_id !== undefined && (await this.#options.store.get(spec.run_id)))
      throw runExists(spec.run_id)
    if (this.#options.admit) await this.#options.admit(spec)
    if (this.#closed) throw engineClosed()
    if (this.#conductors.has(spec.run_id)) throw runExists(spec.run_id)
    const conductor = new Conductor(this.#ports, spec, plan)
    this.#conductors.set(spec.run_id, conductor)
    try {
      await conductor.create(this.#enter(conductor, false))
    } catch (error) {
      this.#letGo(spec.run_id)
      conductor.abandon()
      throw error
    }
    return this.#record(spec.run_id)
  }

  #enter(conductor: Conductor, running: boolean): string | undefined {
    const { concurrency } = conductor.plan.workflow
    if (!concurrency) return undefined
    const { run_id, vars, tenant } = conductor.spec
    const group = fillText(concurrency.group, (name) => (Object.hasOwn(vars, name) ? vars[name] : undefined))
    const name = `${tenant}/${group}`
    // A sub-workflow shares the place of the run that waits for it, or they would wait for each other.
    for (let above = conductor.spec.parent; above; above = this.#conductors.get(above.run_id)?.spec.parent)
      if (this.#gate.has(name, above.run_id)) return undefined
    const start = () => void conductor.start().catch(() => {})
    const full = this.#gate.enter(name, concurrency.limit, run_id, running, start)
    return (
      full &&
      `concurrency group "${group}" runs ${full.inside} of ${concurrency.limit}; ${full.before} wait before`
    )
  }

  /** The run is no longer conducted here. */
  #letGo(runId: string): void {
    this.#conductors.delete(runId)
    this.#gate.leave(runId)
  }

  #committed(conductor: Conductor, events: readonly RunEvent[]): void {
    const { run_id, workflow_name } = conductor.spec
    if (this.#notifications)
      for (const event of events) {
        const notification = notificationOf(event, { run_id, workflow_name }, this.#options.version ?? '0')
        if (notification) this.#notifications.add(notification)
      }
    if (events.at(-1)?.type === 'run.finished') this.#finished(conductor)
    this.#feed.tell(run_id)
  }

  #finished({ spec, state }: Conductor): void {
    this.#letGo(spec.run_id)
    this.#children.ended(spec, state)
  }

  #storeFailed(runId: string, error: unknown, tries: number): number | undefined {
    const code = error instanceof ErrandError ? error.code : 'internal'
    const hopeless = ['run_exists', 'run_not_found', 'conflict'].includes(code)
    this.#options.log?.(`Run ${runId}: its events cannot be kept (try ${tries}): ${messageOf(error)}`, {
      level: 'error',
      run_id: runId,
    })
    if (!hopeless && this.#options.onStoreFailure !== 'abandon') return 1000
    if (!hopeless && tries < 3) return 100
    this.#giveUp(runId, error)
    return undefined
  }

  #giveUp(runId: string, error: unknown): void {
    this.#lost.set(runId, error)
    const conductor = this.#conductors.get(runId)
    this.#letGo(runId)
    conductor?.abandon()
    if (conductor) this.#children.ended(conductor.spec, { status: 'failed', message: messageOf(error) })
    this.#feed.tell(runId)
  }

  #record(runId: string): Promise<RunRecord> {
    return recordOf(this.#options.store, runId)
  }

  async #open(runId: string): Promise<Conductor> {
    const conductor = this.#conductors.get(runId)
    if (conductor) return conductor
    const { status } = await this.#record(runId)
    if (isFinalRun(status)) throw runEnded(runId, status)
    throw new ErrandError('unavailable', `Run ${runId} is ${status}, but not conducted here.`)
  }

  async #folded(runId: string): Promise<{ record: RunRecord; plan: Plan; state: RunState }> {
    const record = await this.#record(runId)
    const conductor = this.#conductors.get(runId)
    if (conductor) return { record, plan: conductor.plan, state: conductor.state }
    const plan = this.#loader.again(record.workflow)
    const state = initialState(plan)
    for (const event of await logOf(this.#options.store, runId)) evolve(state, event)
    return { record, plan, state }
  }

  async #ended(runId: string) {
    const folded = await this.#folded(runId)
    if (isFinalRun(folded.record.status)) return folded
    throw notEnded(runId, folded.record.status)
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function runExists(runId: string): ErrandError {
  return new ErrandError('run_exists', `There is a run ${runId} already.`, {
    hint: 'Choose another run id, or leave it out.',
  })
}

function notEnded(runId: string, status: string): ErrandError {
  return new ErrandError('run_not_ended', `Run ${runId} is ${status}; it has to end first.`, {
    hint: `errand runs cancel ${runId} ends it.`,
  })
}
