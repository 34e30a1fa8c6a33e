import { isDeepStrictEqual } from 'node:util'
import { type ActionCatalog, builtinActions } from '../contract/actions.ts'
import type { NewInput } from '../contract/agent.ts'
import type { StreamName } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent, StepPhase } from '../contract/events.ts'
import { attemptId } from '../contract/ids.ts'
import type { RunRecord, RunView } from '../contract/run.ts'
import type { RetryPlan, RetryRun, RetryStep } from '../contract/runs/retry.ts'
import type { InstancePage, LastGood, StepOverview } from '../contract/runs/run-parts.ts'
import type { Share } from '../contract/runs/shares.ts'
import { isFinalRun } from '../contract/status.ts'
import { BoundedMap } from '../platform/bounded-map.ts'
import { KeyedMutex } from '../platform/sync.ts'
import {
  alreadyRolledBack,
  type EngineFace,
  type EngineOptions,
  runNotEnded,
  type ShareChange,
  type Submission,
} from './api.ts'
import { sharesAfter } from './core/evolve.ts'
import type { InputAddress } from './core/inputs.ts'
import { type InstanceQuery, instancePage, stepOverview } from './core/instance-page.ts'
import { goodRun } from './core/last-good.ts'
import { listRow } from './core/list-row.ts'
import type { Plan } from './core/plan.ts'
import { doneBy, refuseParts, rollbackWorkflow, withBoxesHad } from './core/retry.ts'
import { bounded, retryCommand, retrySteps, totals } from './core/retry-preview.ts'
import { type EndedRun, type RetryStart, retryStart } from './core/retry-start.ts'
import type { RunState } from './core/state.ts'
import { viewOf } from './core/view.ts'
import type { Clock, OutputStore, RunCounts, RunPage, RunQuery, RunSecrets, RunStore } from './ports.ts'
import { ActiveRuns } from './runtime/active-runs.ts'
import { systemClock } from './runtime/clock.ts'
import { type ApprovalAnswer, approvalAnswers, changesShares, sharing } from './runtime/conductor.ts'
import type { OutputQuota } from './runtime/output-quota.ts'
import { folded, foldedAsFar } from './runtime/set-aside.ts'
import { firstVariables, Loader, type Started, withBox, withinGroup } from './runtime/submission.ts'
import { Feed, logOf, recordOf, watch } from './runtime/watch.ts'
import { checkoutWithoutToken, withCheckoutToken } from './workflow-file/checkout-step.ts'
import { sealedEnv } from './workflow-file/sealed-env.ts'

/** Most ended runs that stay folded in memory. */
const CACHED_RUNS = 4
/** Most tries of a chain that are shown. */
const MOST_TRIES = 100

/** Conducts runs. The hub, the CLI and programs that embed Errand use this same class with other ports. */
export class Engine implements EngineFace {
  readonly #store: RunStore
  readonly #outputs: OutputStore
  readonly #outputQuota: OutputQuota | undefined
  readonly #loader: Loader
  readonly #catalog: ActionCatalog
  readonly #clock: Clock
  readonly #runSecrets: RunSecrets | undefined
  readonly #dropBeside: EngineOptions['dropBeside']
  readonly #feed = new Feed()
  readonly #runs: ActiveRuns
  /** The last of the operations of each name that are under way. */
  readonly #pending = new KeyedMutex()
  /** Ended runs that were requested recently, folded: clients that page through a run repeat requests. */
  readonly #lately = new BoundedMap<string, { plan: Plan; state: RunState }>(CACHED_RUNS)

  constructor(options: EngineOptions) {
    this.#store = options.store
    this.#outputs = options.outputs
    this.#outputQuota = options.outputQuota
    this.#clock = options.clock ?? systemClock
    this.#catalog = options.catalog ?? builtinActions
    this.#loader = new Loader(this.#catalog, options.checkAside)
    this.#runSecrets = options.runSecrets
    this.#dropBeside = options.dropBeside
    this.#runs = new ActiveRuns(options, this.#loader, this.#feed, (...sub) => this.#subRetry(...sub))
  }

  async submit(submission: Submission): Promise<RunRecord> {
    const loaded = await this.#loader.loadAside(submission)
    const { group, repository = '' } = submission
    const grouped = group === undefined ? loaded.workflow : withinGroup(loaded.workflow, group, repository)
    const unlocked = withBox(grouped, submission.box)
    const repo = submission.checkout_token && checkoutWithoutToken(unlocked)
    const secret = repo === undefined ? undefined : await submission.checkout_token?.(repo)
    const boxed = withCheckoutToken(unlocked, secret)
    const plan = boxed === loaded.workflow ? loaded : this.#loader.again(boxed)
    if (this.#runSecrets === undefined) return this.#runs.begin(plan, submission, {})
    const names = new Set(Object.keys(submission.vars ?? {}))
    const { workflow, values } = sealedEnv(plan.workflow, names, this.#catalog)
    if (workflow === plan.workflow) return this.#runs.begin(plan, submission, {})
    const secrets = { ...values, ...submission.secrets }
    return this.#runs.begin(this.#loader.again(workflow), { ...submission, secrets }, {})
  }

  isBeginning(runId: string): boolean {
    return this.#runs.isBeginning(runId)
  }

  get(runId: string): Promise<RunRecord | undefined> {
    return this.#store.get(runId)
  }

  list(query: RunQuery): Promise<RunPage> {
    return this.#store.list(query)
  }

  counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts> {
    return this.#store.counts(query)
  }

  /** Counts the runs that are conducted here, by status. */
  openRuns(): Record<'queued' | 'running', number> {
    const open = { queued: 0, running: 0 }
    for (const { state } of this.#runs.all())
      if (state.status === 'queued' || state.status === 'running') open[state.status]++
    return open
  }

  /** Reports whether the run is conducted here, or is going to be. */
  isOpen(runId: string): boolean {
    return this.#runs.isOpen(runId)
  }

  takingUp(): { done: number; of: number } | undefined {
    return this.#runs.takingUp
  }

  async view(runId: string, bounds: { instances?: number } = {}): Promise<RunView> {
    const { record, plan, state } = await this.#folded(runId, true)
    const [last] = await this.#rollbacksOf(runId)
    const rollback = last && { run_id: last.run_id, status: last.status }
    return viewOf(record, plan, state, { rollback, ...(await this.#chainOf(record)) }, bounds)
  }

  async instances(
    runId: string,
    { phase, name }: { phase: StepPhase; name: string },
    query: InstanceQuery,
  ): Promise<InstancePage> {
    const { step, state } = await this.#stepOf(runId, { phase, name })
    return instancePage(runId, step, state, query)
  }

  async overview(runId: string, at: { phase: StepPhase; name: string }): Promise<StepOverview> {
    const { step, state } = await this.#stepOf(runId, at)
    return stepOverview(runId, step, state, this.#clock.now())
  }

  async #stepOf(runId: string, { phase, name }: { phase: StepPhase; name: string }) {
    const { state } = await this.#folded(runId, true)
    const step = state[phase][state.positions[phase].get(name) ?? -1]
    if (step) return { step, state }
    throw new ErrandError('not_found', `Run ${runId} has no step "${name}" (${phase}).`, {
      hint: `List its steps: errand runs show ${runId}. Rollback and finally steps have a phase.`,
    })
  }

  async fillRow(runId: string): Promise<void> {
    const { status, list_row } = await this.#record(runId)
    if (list_row !== undefined || !isFinalRun(status)) return
    const row = await this.#folded(runId).then(
      ({ state }) => listRow(state) ?? {},
      // A log that cannot be folded will not yield more another time.
      () => ({}),
    )
    this.#lately.delete(runId)
    await this.#store.update(runId, { events: [], patch: { list_row: JSON.stringify(row) } })
  }

  async lastGood(runId: string): Promise<LastGood> {
    const { workflow_name, owner, tenant, created_at: created_before } = await this.#record(runId)
    const filter = { workflow_name, owner, tenant, created_before, statuses: ['success' as const] }
    const { runs } = await this.#store.list({ ...filter, limit: 1 })
    const found = runs[0]
    if (found === undefined) return {}
    const { record, state } = await this.#folded(found.run_id)
    return { run: goodRun(record, state) }
  }

  async *watch(
    runId: string,
    after: number,
    signal?: AbortSignal,
    { outputBytes = Number.POSITIVE_INFINITY }: { outputBytes?: number } = {},
  ): AsyncGenerator<RunEvent> {
    await this.#record(runId)
    const closed = () => this.#runs.closed
    const ports = { store: this.#store, outputs: this.#outputs, feed: this.#feed, closed }
    yield* watch(ports, { runId, after, outputBytes }, signal)
  }

  output(runId: string, number: number, stream: StreamName, start: number, end: number): Promise<Buffer> {
    return this.#outputs.read(attemptId(runId, number), stream, start, end)
  }

  outputLength(runId: string, number: number, stream: StreamName): Promise<number> {
    return this.#outputs.length(attemptId(runId, number), stream)
  }

  async cancel(
    runId: string,
    options: { by?: string; message?: string; force?: boolean } = {},
  ): Promise<void> {
    const how = { ...options, force: options.force ?? false }
    // Waits for a running `resumeRun`, because nobody conducts a run that is set aside.
    await this.#pending.run(`cancel ${runId}`, () => this.#runs.cancel(runId, how))
  }

  async resumeRun(runId: string): Promise<RunRecord> {
    await this.#pending.run(`cancel ${runId}`, () => this.#runs.takeBack(runId))
    return await this.#record(runId)
  }

  setAside(): string[] {
    return this.#runs.setAside
  }
  setAsideSince(runId: string): string | undefined {
    return this.#runs.setAsideSince(runId)
  }

  async answer(runId: string, ...answer: ApprovalAnswer): Promise<void> {
    const open = await this.#runs.open(runId).catch(async (error) => {
      // The second person to answer learns who was first, even if that answer has ended the run.
      if (!(error instanceof ErrandError) || error.code !== 'run_ended') throw error
      const { state } = await this.#folded(runId)
      const step = state.main.concat(state.finally).find(({ name }) => name === answer[0].step)
      if (step?.instances.some(({ answered }) => answered !== undefined))
        approvalAnswers(runId, state, ...answer)
      throw error
    })
    await open.answer(...answer)
  }

  async input(runId: string, newInput: NewInput, to: InputAddress = {}): Promise<{ input_id: string }> {
    return { input_id: await (await this.#runs.open(runId)).give(newInput, to) }
  }

  share(runId: string, change: ShareChange): Promise<readonly Share[]> {
    return this.#pending.run(`share ${runId}`, async () => {
      const { shares, status } = await this.#record(runId)
      if (!changesShares(runId, shares, change)) return shares ?? []
      if (!isFinalRun(status))
        try {
          await (await this.#runs.open(runId)).share(change)
          return (await this.#record(runId)).shares ?? []
        } catch (error) {
          if (!(error instanceof ErrandError) || error.code !== 'run_ended') throw error
        }
      // Its log is over: only the record shows the change.
      const event = { ...sharing(change), time: new Date().toISOString() }
      const next = sharesAfter((await this.#record(runId)).shares, event)
      await this.#store.update(runId, { events: [], patch: { shares: next } })
      return next ?? []
    })
  }

  async retry(
    runId: string,
    { owner, run_id, ...request }: RetryRun & { owner?: string; run_id?: string },
  ): Promise<RunRecord> {
    const { record, ...folded } = await this.#ended(runId)
    if (record.rolls_back !== undefined) {
      refuseParts(request)
      return this.rollback(record.rolls_back, { owner, run_id })
    }
    const { start } = await this.#retryOf(runId, folded, request)
    const { blueprint, continues, vars, tenant, repository, labels } = record
    const ofUser = { owner: owner ?? record.owner, tenant, repository, labels }
    const submission = { run_id, blueprint, continues, vars, ...ofUser }
    const { plan, state } = folded
    const boxed = withBoxesHad(plan.workflow, state)
    const again = boxed === plan.workflow ? plan : this.#loader.again(boxed)
    // One after another, since each gets its own number.
    return this.#pending.run(record.first_run ?? runId, async () => {
      const place = await this.#nextTry(record)
      return this.#runs.begin(again, submission, { retry_of: runId, ...start, ...place })
    })
  }

  async retryPlan(runId: string, request: RetryRun): Promise<RetryPlan> {
    const { record, ...folded } = await this.#ended(runId)
    if (record.rolls_back !== undefined)
      throw new ErrandError('invalid_argument', `Run ${runId} is a rollback, which is retried as a whole.`, {
        hint: 'Retry it without a plan. What was already rolled back is not rolled back again.',
      })
    const { steps } = await this.#retryOf(runId, folded, request)
    const own = steps.filter(({ isInner }) => !isInner).map(({ step }) => step)
    return {
      run_id: runId,
      try: (await this.#nextTry(record)).try,
      ...totals(own),
      steps: bounded(steps.map(({ step }) => step)),
      cli: retryCommand(runId, request),
    }
  }

  rollback(runId: string, options: { owner?: string; run_id?: string } = {}): Promise<RunRecord> {
    // One after another: each finds in the store what the one before has started.
    return this.#pending.run(`rollback ${runId}`, () => this.#rollBack(runId, options))
  }

  async remove(runIds: readonly string[]): Promise<void> {
    const runs: RunRecord[] = []
    for (const runId of new Set(runIds)) {
      const run = await this.#store.get(runId)
      if (run === undefined) continue
      if (!isFinalRun(run.status) || this.#runs.get(runId)) throw runNotEnded(runId, run.status)
      runs.push(run)
    }
    // The record goes last: it leads to what a failure leaves, which is then removed again.
    for (const runId of runIds) {
      await this.#outputs.remove(runId)
      await this.#dropBeside?.(runId)
      const run = this.#runSecrets && (await this.#store.get(runId))
      if (run) await this.#runSecrets!.dropOfRun(run)
    }
    await this.#store.remove(runIds)
    for (const run of runs) this.#outputQuota?.release(run)
    for (const runId of runIds) {
      this.#runs.forget(runId)
      this.#lately.delete(runId)
      this.#feed.report(runId)
    }
  }

  async done(runId: string): Promise<RunRecord> {
    using follower = this.#feed.follow(runId)
    for (;;) {
      // Before reading, so that a commit in between is not missed.
      follower.reads()
      const record = await this.#record(runId)
      if (isFinalRun(record.status)) {
        await this.#runs.notified(runId)
        return await this.#record(runId)
      }
      this.#runs.needNotLost(runId)
      if (this.#runs.closed)
        throw new ErrandError('unavailable', `The engine was closed before run ${runId} ended.`, {
          hint: 'If the store is persistent, the next start resumes the run.',
        })
      await follower.news()
    }
  }

  resume(only?: readonly string[]): Promise<void> {
    return this.#runs.resumeAll(async () => {
      const open = await this.#store.open()
      return only === undefined ? open : open.filter((runId) => only.includes(runId))
    })
  }

  async close(): Promise<void> {
    await this.#runs.close()
    this.#feed.close()
  }

  #record(runId: string): Promise<RunRecord> {
    return recordOf(this.#store, runId)
  }

  /** Folds a run. With `damagedToo`, a log that cannot be folded whole is folded up to the damage. */
  async #folded(
    runId: string,
    damagedToo = false,
  ): Promise<{ record: RunRecord; plan: Plan; state: RunState }> {
    const record = await this.#record(runId)
    const conductor = this.#runs.get(runId)
    if (conductor) return { record, plan: conductor.plan, state: conductor.state }
    const cached = this.#lately.get(runId)
    if (cached?.state.seq === record.last_seq) return { record, ...cached }
    const plan = this.#loader.again(record.workflow)
    const log = await logOf(this.#store, runId)
    const state = damagedToo ? foldedAsFar(plan, log) : folded(plan, log)
    if (isFinalRun(state.status)) this.#keep(runId, { plan, state })
    return { record, plan, state }
  }

  /** Returns the tries of the run's chain; empty when it is the only one. */
  async #chainOf({ run_id, first_run = run_id }: RunRecord): Promise<Pick<RunView, 'chain' | 'retried_as'>> {
    const { runs } = await this.#store.list({ first_run, limit: MOST_TRIES })
    if (runs.length === 0) return {}
    const first = runs.length < MOST_TRIES ? await this.#store.get(first_run) : undefined
    const chain = [...runs, ...(first ? [first] : [])].map((one) => {
      const { status, owner, created_at, retry_of, try: number = 1 } = one
      return { run_id: one.run_id, try: number, status, owner, created_at, retry_of }
    })
    chain.sort((a, b) => a.try - b.try)
    return { chain, retried_as: chain.findLast(({ retry_of }) => retry_of === run_id)?.run_id }
  }

  /** Returns the place in its chain of tries that a retry of this run would have now. */
  async #nextTry({ run_id, first_run = run_id }: RunRecord): Promise<{ first_run: string; try: number }> {
    const { runs } = await this.#store.list({ first_run, limit: 500 })
    return { first_run, try: Math.max(1, ...runs.map((one) => one.try ?? 1)) + 1 }
  }

  /** Works out what such a retry takes over, and its expected steps, each followed by those of its sub-runs. */
  async #retryOf(
    runId: string,
    folded: Pick<EndedRun, 'plan' | 'state'>,
    request: RetryRun,
  ): Promise<{ start: RetryStart; steps: { step: RetryStep; isInner?: true }[] }> {
    const run = { ...folded, undone: await this.#undoneIn(await this.#rollbacksOf(runId)) }
    const start = retryStart(run, request)
    const steps: { step: RetryStep; isInner?: true }[] = []
    for (const step of retrySteps(run, start)) {
      steps.push({ step })
      for (const child of step.phase === 'main' ? (start.retry?.children?.[step.step] ?? []) : []) {
        const there = await this.#store.get(child.run_id)
        if (there === undefined || !isFinalRun(there.status)) continue
        const inner = await this.#retryOf(child.run_id, await this.#folded(child.run_id), child.asked)
        for (const { step: one, isInner } of inner.steps)
          steps.push({
            step: {
              ...one,
              step: `${step.step} > ${one.step}`,
              run_id: isInner ? one.run_id : child.run_id,
            },
            isInner: true,
          })
      }
    }
    return { start, steps }
  }

  /** Works out how a sub-run begins that continues one of the retried parent's sub-runs. */
  async #subRetry(
    before: { run_id: string; asked: RetryRun },
    { workflow, vars }: Pick<Submission, 'workflow' | 'vars'>,
  ): Promise<(Started & Pick<Submission, 'workflow'>) | undefined> {
    const record = await this.#store.get(before.run_id)
    if (record === undefined || !isFinalRun(record.status)) return undefined
    const { plan, state } = await this.#folded(before.run_id)
    const loaded = this.#loader.load({ workflow })
    const isLike =
      doneBy(loaded.workflow) === doneBy(plan.workflow) &&
      isDeepStrictEqual(firstVariables(loaded.workflow, vars), record.vars)
    // With other inputs, its results are not what is needed now.
    if (!isLike) return undefined
    const undone = await this.#undoneIn(await this.#rollbacksOf(before.run_id))
    const start = retryStart({ plan, state, undone }, before.asked)
    const boxed = withBoxesHad(loaded.workflow, state)
    const place = await this.#nextTry(record)
    return {
      ...{ retry_of: before.run_id, ...start, ...place },
      workflow: boxed === loaded.workflow ? workflow : (boxed as unknown as Record<string, unknown>),
    }
  }

  /** Remembers a folded run; evicts the oldest to make room. */
  #keep(runId: string, folded: { plan: Plan; state: RunState }): void {
    this.#lately.set(runId, folded)
  }

  async #rollBack(runId: string, { owner, run_id }: { owner?: string; run_id?: string }): Promise<RunRecord> {
    const { record, plan, state } = await this.#ended(runId)
    const rollbacks = await this.#rollbacksOf(runId)
    const other = rollbacks.find(({ status }) => status === 'success' || !isFinalRun(status))
    if (other) throw alreadyRolledBack(runId, other)
    const undone = await this.#undoneIn(rollbacks)
    const undo = this.#loader.load({ workflow: rollbackWorkflow(plan, state, undone) })
    const { tenant, repository, labels } = record
    const submission = { run_id, owner: owner ?? record.owner, tenant, repository, labels }
    return this.#runs.begin(undo, submission, { retry_of: runId, rolls_back: runId })
  }

  /** Returns the runs that were started to undo a run, the latest first. */
  async #rollbacksOf(runId: string): Promise<RunRecord[]> {
    return (await this.#store.list({ rolls_back: runId, limit: 500 })).runs
  }

  /** Returns the names of the steps that have succeeded in these rollbacks. */
  async #undoneIn(rollbacks: readonly RunRecord[]): Promise<Set<string>> {
    const undone = new Set<string>()
    for (const { run_id } of rollbacks)
      for (const { name, status } of (await this.#folded(run_id)).state.main)
        if (status === 'success') undone.add(name)
    return undone
  }

  async #ended(runId: string) {
    const folded = await this.#folded(runId)
    if (isFinalRun(folded.record.status)) return folded
    throw runNotEnded(runId, folded.record.status)
  }
}
