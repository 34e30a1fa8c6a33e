import { type ActionCatalog, builtinActions } from '../contract/actions.ts'
import type { GivenInput } from '../contract/agent.ts'
import type { StreamName } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import { attemptId } from '../contract/ids.ts'
import type { RunRecord, RunView } from '../contract/run.ts'
import { isFinalRun } from '../contract/status.ts'
import {
  alreadyRolledBack,
  type EngineFace,
  type EngineOptions,
  runNotEnded,
  type Submission,
} from './api.ts'
import { evolve } from './core/evolve.ts'
import type { InputAddress } from './core/inputs.ts'
import type { Plan } from './core/plan.ts'
import { carriedOver, rollbackWorkflow, withBoxesHad } from './core/retry.ts'
import { initialState, type RunState } from './core/state.ts'
import { viewOf } from './core/view.ts'
import type { OutputStore, RunPage, RunQuery, RunSecrets, RunStore } from './ports.ts'
import { ActiveRuns } from './runtime/active-runs.ts'
import type { OutputQuota } from './runtime/output-quota.ts'
import { Loader, withBox, withinGroup } from './runtime/submission.ts'
import { Feed, logOf, recordOf, watch } from './runtime/watch.ts'
import { checkoutWithoutToken, withCheckoutToken } from './workflow-file/checkout-step.ts'
import { sealedEnv } from './workflow-file/sealed-env.ts'

/** Conducts runs: the hub, the CLI and programs that embed Errand use this same class with other ports. */
export class Engine implements EngineFace {
  readonly #store: RunStore
  readonly #outputs: OutputStore
  readonly #outputQuota: OutputQuota | undefined
  readonly #loader: Loader
  readonly #catalog: ActionCatalog
  readonly #runSecrets: RunSecrets | undefined
  readonly #dropBeside: EngineOptions['dropBeside']
  readonly #feed = new Feed()
  readonly #runs: ActiveRuns
  /** Those of each run that are being begun. */
  readonly #rollbacks = new Map<string, Promise<void>>()

  constructor(options: EngineOptions) {
    this.#store = options.store
    this.#outputs = options.outputs
    this.#outputQuota = options.outputQuota
    this.#catalog = options.catalog ?? builtinActions
    this.#loader = new Loader(this.#catalog)
    this.#runSecrets = options.runSecrets
    this.#dropBeside = options.dropBeside
    this.#runs = new ActiveRuns(options, this.#loader, this.#feed)
  }

  async submit(submission: Submission): Promise<RunRecord> {
    const loaded = this.#loader.load(submission)
    const { group, repository = '' } = submission
    const grouped = group === undefined ? loaded.workflow : withinGroup(loaded.workflow, group, repository)
    const unlocked = withBox(grouped, submission.box)
    const repo = submission.checkout_token && checkoutWithoutToken(unlocked)
    const secret = repo === undefined ? undefined : await submission.checkout_token?.(repo)
    const boxed = withCheckoutToken(unlocked, secret)
    const plan = boxed === loaded.workflow ? loaded : this.#loader.again(boxed)
    if (this.#runSecrets === undefined) return this.#runs.begin(plan, submission, {})
    const given = new Set(Object.keys(submission.vars ?? {}))
    const { workflow, values } = sealedEnv(plan.workflow, given, this.#catalog)
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

  /** How many runs are conducted here, by status. */
  openRuns(): Record<'queued' | 'running', number> {
    const open = { queued: 0, running: 0 }
    for (const { state } of this.#runs.all())
      if (state.status === 'queued' || state.status === 'running') open[state.status]++
    return open
  }

  takingUp(): { done: number; of: number } | undefined {
    return this.#runs.takingUp
  }

  async view(runId: string): Promise<RunView> {
    const { record, plan, state } = await this.#folded(runId)
    const [last] = await this.#rollbacksOf(runId)
    return viewOf(record, plan, state, last && { run_id: last.run_id, status: last.status })
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
    await (await this.#runs.open(runId)).cancel({ ...options, force: options.force ?? false })
  }

  async answer(runId: string, answer: Parameters<EngineFace['answer']>[1]): Promise<void> {
    await (await this.#runs.open(runId)).answer(answer)
  }

  async input(runId: string, given: GivenInput, to: InputAddress = {}): Promise<{ input_id: string }> {
    return { input_id: await (await this.#runs.open(runId)).give(given, to) }
  }

  async retry(
    runId: string,
    { only, owner }: { only: 'all' | 'failed'; owner?: string },
  ): Promise<RunRecord> {
    const { record, plan, state } = await this.#ended(runId)
    if (record.rolls_back !== undefined) return this.rollback(record.rolls_back, { owner })
    const carried =
      only === 'failed'
        ? carriedOver(plan, state, await this.#undoneIn(await this.#rollbacksOf(runId)))
        : undefined
    const { blueprint, continues, vars, tenant, repository } = record
    const submission = { blueprint, continues, vars, owner: owner ?? record.owner, tenant, repository }
    const boxed = withBoxesHad(plan.workflow, state)
    const again = boxed === plan.workflow ? plan : this.#loader.again(boxed)
    return this.#runs.begin(again, submission, { retry_of: runId, carried })
  }

  rollback(runId: string, { owner }: { owner?: string } = {}): Promise<RunRecord> {
    // One after another: what one has begun, the next finds in the store.
    const begun = (this.#rollbacks.get(runId) ?? Promise.resolve()).then(() => this.#rollBack(runId, owner))
    const settled = begun
      .catch(() => {})
      .then(() => {
        if (this.#rollbacks.get(runId) === settled) this.#rollbacks.delete(runId)
      })
    this.#rollbacks.set(runId, settled)
    return begun
  }

  async remove(runIds: readonly string[]): Promise<void> {
    const runs: RunRecord[] = []
    for (const runId of new Set(runIds)) {
      const run = await this.#store.get(runId)
      if (run === undefined) continue
      if (!isFinalRun(run.status) || this.#runs.get(runId)) throw runNotEnded(runId, run.status)
      runs.push(run)
    }
    // The record last: what a failure leaves is found by it, and removed again.
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
      this.#feed.tell(runId)
    }
  }

  async done(runId: string): Promise<RunRecord> {
    using follower = this.#feed.follow(runId)
    for (;;) {
      // Before reading, so that a commit in between is not missed.
      follower.reads()
      const record = await this.#record(runId)
      this.#runs.needNotLost(runId)
      if (isFinalRun(record.status)) {
        await this.#runs.told(runId)
        return await this.#record(runId)
      }
      if (this.#runs.closed)
        throw new ErrandError('unavailable', `The engine was closed before run ${runId} ended.`, {
          hint: 'A store that lasts keeps the run: the next start goes on with it.',
        })
      await follower.news()
    }
  }

  resume(only?: readonly string[]): Promise<void> {
    return this.#runs.takeUpAll(async () => {
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

  async #folded(runId: string): Promise<{ record: RunRecord; plan: Plan; state: RunState }> {
    const record = await this.#record(runId)
    const conductor = this.#runs.get(runId)
    if (conductor) return { record, plan: conductor.plan, state: conductor.state }
    const plan = this.#loader.again(record.workflow)
    const state = initialState(plan)
    for (const event of await logOf(this.#store, runId)) evolve(state, event)
    return { record, plan, state }
  }

  async #rollBack(runId: string, owner: string | undefined): Promise<RunRecord> {
    const { record, plan, state } = await this.#ended(runId)
    const rollbacks = await this.#rollbacksOf(runId)
    const other = rollbacks.find(({ status }) => status === 'success' || !isFinalRun(status))
    if (other) throw alreadyRolledBack(runId, other)
    const undone = await this.#undoneIn(rollbacks)
    const undo = this.#loader.load({ workflow: rollbackWorkflow(plan, state, undone) })
    const { tenant, repository } = record
    const submission = { owner: owner ?? record.owner, tenant, repository }
    return this.#runs.begin(undo, submission, { retry_of: runId, rolls_back: runId })
  }

  /** The runs that were begun to undo a run, the last first. */
  async #rollbacksOf(runId: string): Promise<RunRecord[]> {
    return (await this.#store.list({ rolls_back: runId, limit: 500 })).runs
  }

  /** Names of the steps that have succeeded in these rollbacks. */
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
