import type { Server } from 'node:http'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { BotLive } from '../../contract/bots/bot.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import { callersBehind } from '../../platform/callers.ts'
import type { Log } from '../../platform/log.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import { type Assignment, Assignments, canceled, NOTHING_STORED } from './assignments.ts'
import { type BotAsk, checkBotRoom } from './bot-room.ts'
import { Dispatch, type WaitLimits } from './dispatch.ts'
import { type RunnerKey, runnerKey, workspaceKey } from './matching.ts'
import type { Demand, ProvisionedGroups, Size, WaitingDemand } from './provisioned-groups.ts'
import { type GroupBoxes, KnownRunners, type Runner, type RunnerRules, type RunnerStore } from './roster.ts'
import { commandCancel, commandInput } from './runner-commands.ts'
import { RunnerHandshake } from './runner-handshake.ts'
import { type Authenticate, Incoming, RunnerLinks } from './runner-links.ts'
import { RunnerQueries } from './runner-queries.ts'

export interface FleetOptions {
  authenticate: Authenticate
  /** Reports whether what the action does outlives the runner's process. */
  isDurable(action: string): boolean
  /** Source of secret values, asked just before an attempt with secrets is sent. Absent when the hub has none. */
  secrets?: SecretSource
  /** Milliseconds between heartbeats. Default 5,000. A link that is silent for three heartbeats is closed. */
  heartbeatMs?: number
  /** Milliseconds until the attempts of a runner that stays away count as lost. Default 60,000. */
  lostAfterMs?: number
  /** Milliseconds between SIGTERM and SIGKILL of a cancel. Default 10,000. */
  graceMs?: number
  /** Milliseconds that a new link has to say hello. Default 10,000. */
  helloTimeoutMs?: number
  /** Milliseconds between checks of the tokens of open links, besides each `recheck`. Default 30,000. */
  recheckMs?: number
  /** Returns the least box for everything that runs in a group; absent when no group demands one. */
  groupBoxes?: GroupBoxes
  /** Groups with provisioned runners; absent when there are none. */
  provisionedGroups?: ProvisionedGroups
  /** Limits how long waiting attempts are passed over. */
  placement?: WaitLimits
  /** Stores runners for the next hub process. By default nothing does. */
  store?: RunnerStore
  log?: Log
}

/**
 * Runs attempts on connected runners. It welcomes no runner before `ready`, so that no work counts as unknown while
 * open runs are still being resumed. Close it before the engine whose attempts it has.
 */
export class Fleet implements StepHost {
  readonly #graceMs: number
  readonly #roster = new Map<RunnerKey, Runner>()
  readonly #assignments: Assignments
  readonly #dispatch: Dispatch
  readonly #handshake: RunnerHandshake
  readonly #known: KnownRunners
  readonly #links: RunnerLinks
  readonly #provisionedGroups: ProvisionedGroups | undefined
  readonly #stop = new AbortController()
  /** The runners as people see them, and what an admin can do with them. */
  readonly runners: ManagedRunners
  readonly queries: RunnerQueries

  constructor(options: FleetOptions) {
    const { authenticate, isDurable, secrets, log = () => {} } = options
    const { heartbeatMs = 5_000, lostAfterMs = 60_000, graceMs = 10_000, helloTimeoutMs = 10_000 } = options
    const { recheckMs = 30_000 } = options
    const runners = this.#roster
    const { signal } = this.#stop
    const drop = (assignment: Assignment) => this.#dispatch.drop(assignment)
    const { groupBoxes: boxOf, provisionedGroups } = options
    const rules: RunnerRules = {
      boxOf,
      runOf: provisionedGroups && ((tenant, id) => provisionedGroups.runOf(tenant, id)),
    }
    const assignments = new Assignments({ runners, drop, log, secrets, signal, provisionedGroups })
    const dispatch = new Dispatch({ runners, assignments, signal, provisionedGroups, ...options.placement })
    const known = new KnownRunners(options.store, log, rules)
    const parts = { runners, known, assignments, dispatch, rules }
    const handshake = new RunnerHandshake({ ...parts, isDurable, heartbeatMs, lostAfterMs, graceMs, log })
    const queries = new RunnerQueries(runners)
    const incoming = new Incoming({ handshake, assignments, dispatch, asks: queries, graceMs })
    this.queries = queries
    this.#graceMs = graceMs
    this.#provisionedGroups = provisionedGroups
    this.#assignments = assignments
    this.#dispatch = dispatch
    this.#handshake = handshake
    this.#known = known
    this.#links = new RunnerLinks({
      ...{ authenticate, handshake, incoming, asks: queries, heartbeatMs, helloTimeoutMs, recheckMs, log },
    })
    this.runners = new ManagedRunners({ ...parts, handshake })
  }

  /** Accepts links on `/api/runner-link` of the server. */
  attach(server: Server, callerOf = callersBehind([])): void {
    this.#links.attach(server, callerOf)
  }

  /** Loads the runners that the previous process knew. Call it before runs are resumed. */
  restore(): Promise<void> {
    return this.#known.restore(this.#roster)
  }

  /** Recomputes waiting attempts after the demands of groups have changed. */
  groupsChanged(): void {
    this.#dispatch.groupsChanged()
    for (const runner of this.#roster.values()) this.#dispatch.rosterChanged(runner)
  }

  /** Lists the runs that wait for a provisioned runner of the group, longest wait first. */
  demands(group: string): WaitingDemand[] {
    return this.#dispatch.demands(group)
  }

  /** Fails everything that waits for the run's provisioned runner of the group, because none will ever take it. */
  giveUp(group: string, demand: Demand, end: Pick<AttemptEnd, 'reason' | 'message'>): void {
    this.#dispatch.giveUp(group, demand, end)
  }

  /** Describes a provisioned runner as the hub sees it. */
  liveness({ tenant, id }: TenantRunner) {
    const runner = this.#roster.get(runnerKey(tenant, id))
    const connected = runner?.link !== undefined
    return {
      ...{ connected, open: runner?.status === 'connected' },
      lost: !connected && runner?.expected !== true,
      attempts: runner?.held.size ?? 0,
      ...(connected && { size: { cpus: runner.cpus, memoryBytes: runner.memoryBytes } }),
    }
  }

  /** Lists the sizes of the tenant's runners of the group that were not provisioned, including those that are away. */
  sizesBeside(group: string, tenant: string): Size[] {
    return [...this.#roster.values()]
      .filter((runner) => runner.tenant === tenant && runner.group === group && runner.run === undefined)
      .map(({ cpus, memoryBytes }) => ({ cpus, memoryBytes }))
  }

  /** Soon updates the reason for waiting of every attempt in the queue. */
  reportAgain(): void {
    this.#dispatch.reportAgain()
  }

  /** Closes the links whose token is no longer valid. */
  recheck(): Promise<void> {
    return this.#links.recheck()
  }

  /** Starts to welcome runners, once all open runs are resumed. May be called twice. */
  ready(): void {
    this.#handshake.open()
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    return this.#dispatch.place(spec)
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    const assignment = this.#assignments.add(spec, placement, NOTHING_STORED, sink)
    this.#dispatch.begin(assignment, keyOf(spec, placement))
  }

  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): void {
    const { started, streams, reports = started ? 1 : 0, inputs = [], epoch = 0 } = known
    const from = { ...NOTHING_STORED, ...streams, reports }
    const assignment = this.#assignments.add(spec, placement ?? { epoch }, from, sink)
    for (const input of inputs) assignment.inputs.set(input.input_id, input)
    if (placement?.runner === undefined) {
      this.#dispatch.begin(assignment, undefined)
      return
    }
    assignment.sent = { type: 'unknown', storage: placement.storage_id }
    assignment.begun = started
    this.#handshake.expect(assignment, placement.runner)
    if (started) this.#dispatch.begun(assignment)
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    if (this.#dispatch.unplace(attemptId)) return
    const assignment = this.#assignments.get(attemptId)
    if (!assignment || (assignment.cancel && (assignment.cancel.force || !force))) return
    const { stage } = assignment
    assignment.cancel = { reason: assignment.cancel?.reason ?? reason, force }
    if (stage.type === 'placed') {
      const link = this.#roster.get(stage.runner)?.link
      if (link) commandCancel(assignment, link, this.#graceMs)
      // There is nobody to wait for. The runner stops what is left when it comes back.
      else if (force) this.#assignments.settle(assignment, canceled(assignment.cancel.reason))
    } else if (stage.type !== 'assigning')
      this.#assignments.settle(assignment, canceled(assignment.cancel.reason))
  }

  input(attemptId: string, input: AttemptInput): void {
    const assignment = this.#assignments.get(attemptId)
    if (!assignment || assignment.inputs.has(input.input_id)) return
    assignment.inputs.set(input.input_id, input)
    const { stage } = assignment
    const link = stage.type === 'placed' ? this.#roster.get(stage.runner)?.link : undefined
    if (link) commandInput(assignment, link, input)
  }

  setAside(runId: string): void {
    this.#assignments.setAside(runId)
    this.#dispatch.unplaceRun(runId)
    this.#provisionedGroups?.changed()
  }

  takeBack(runId: string): void {
    for (const key of this.#assignments.takeBack(runId)) this.#handshake.greetAgain(key)
  }

  runEnded(runId: string): void {
    this.takeBack(runId)
    this.#provisionedGroups?.changed()
    for (const assignment of this.#dispatch.takeParked(runId)) this.#assignments.remove(assignment)
    // A runner that is away names the run when it comes back.
    for (const key of this.#dispatch.affinity.take(runId))
      this.#roster.get(key)?.link?.send({ type: 'forget_run', run_id: runId })
  }

  /** Records that the runner has the workspace of the run, for steps that ended before the run was resumed. */
  remember(spec: Pick<AttemptSpec, 'run_id' | 'tenant' | 'requires'>, runner: string): void {
    const workspace = workspaceKey(spec.requires)
    this.#dispatch.affinity.set(spec, workspace, runnerKey(spec.tenant, runner))
    this.#dispatch.affinity.use(spec.run_id, workspace)
  }

  /**
   * Returns the last state that the runner reported of the bot that the attempt is, or undefined if it reported none.
   */
  liveBot(attemptId: string): BotLive | undefined {
    return this.#assignments.get(attemptId)?.live
  }

  /** Returns how long the attempt's runner has been connected, in milliseconds; 0 while it is away. */
  contactMs(attemptId: string): number {
    const { stage } = this.#assignments.get(attemptId) ?? {}
    const runner = stage?.type === 'placed' ? this.#roster.get(stage.runner) : undefined
    return runner?.link === undefined ? 0 : Date.now() - runner.connectedAtMs
  }

  /** Returns the facts that the hub's metrics are computed from. */
  figures() {
    return {
      runners: this.runners.list(),
      waiting: this.#assignments.waiting(),
      links: this.#links.counts,
      reconnects: this.#handshake.reconnects,
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#handshake.close()
    await this.#links.close()
  }
}

/** Adds the tenant to the runner id of the log: the runner always belongs to the run's tenant. */
const keyOf = ({ tenant }: AttemptSpec, placement: Placement | undefined): RunnerKey | undefined =>
  placement?.runner === undefined ? undefined : runnerKey(tenant, placement.runner)

interface ManagedRunnersOptions {
  runners: Map<RunnerKey, Runner>
  known: KnownRunners
  assignments: Assignments
  dispatch: Dispatch
  handshake: RunnerHandshake
}

/** Shows the runners to people, and does what an admin asks of them. */
class ManagedRunners {
  readonly #options: ManagedRunnersOptions

  constructor(options: ManagedRunnersOptions) {
    this.#options = options
  }

  /** Registers a callback that runs after each change. */
  onChanged(call: () => void): void {
    this.#options.dispatch.changed = call
  }

  /** Lists the runners of the tenant, or all of them. */
  list(tenant?: string): RunnerView[] {
    return [...this.#options.runners.values()]
      .filter((runner) => tenant === undefined || runner.tenant === tenant)
      .flatMap((runner) => (runner.hello ? [runner.view(runner.hello)] : []))
  }

  /** Throws `invalid_argument` if no connected runner can ever hold the bot. */
  checkBot(ask: BotAsk): void {
    checkBotRoom(this.#options.runners.values(), ask)
  }

  /** Lists the attempts of the tenant that wait for a runner, in order of arrival, each with the reason. */
  waiting(tenant: string): { spec: AttemptSpec; why: string }[] {
    return this.#options.assignments.whyWaiting(tenant)
  }

  /** Lists the attempts that the runner was given and has not ended. */
  attempts(which: TenantRunner): AttemptSpec[] {
    const runner = this.#find(which)
    return runner ? this.#options.assignments.assignedTo(runner).map(({ spec }) => spec) : []
  }

  /**
   * Drains the runner: it takes nothing new and finishes what it has, until `undrain`. Resolves once that is stored;
   * false if there is no such runner.
   */
  drain(which: TenantRunner): Promise<boolean> {
    return this.#setDrained(which, true)
  }

  /** Ends the draining of the runner. Resolves to false if there is no such runner. */
  undrain(which: TenantRunner): Promise<boolean> {
    return this.#setDrained(which, false)
  }

  /**
   * Removes the runner. Its attempts are lost; if the runner learns of that, it ends them. Resolves to false if there
   * is no such runner.
   */
  async remove(
    which: TenantRunner,
    { reason = 'lost', message }: { reason?: 'lost' | 'oom'; message?: string } = {},
  ): Promise<boolean> {
    const { runners, known, assignments, dispatch, handshake } = this.#options
    const runner = this.#find(which)
    if (!runner) return false
    const why = message ?? `Runner "${runner.id}" was removed from this hub.`
    for (const { spec, epoch } of assignments.assignedTo(runner))
      runner.link?.send({ type: 'superseded', attempt_id: spec.attempt_id, epoch, why })
    runner.link?.refuse('forbidden', why, false)
    clearTimeout(runner.lostTimer)
    handshake.giveUp(runner, why, reason)
    runners.delete(runner.key)
    dispatch.rosterChanged(runner)
    await known.forget(runner)
    return true
  }

  async #setDrained(which: TenantRunner, drained: boolean): Promise<boolean> {
    const { known, dispatch } = this.#options
    const runner = this.#find(which)
    if (!runner) return false
    runner.drained = drained
    dispatch.rosterChanged(runner)
    await known.keep(runner)
    return true
  }

  #find({ tenant, id }: TenantRunner): Runner | undefined {
    return this.#options.runners.get(runnerKey(tenant, id))
  }
}
