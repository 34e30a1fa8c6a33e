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
import { type Assignment, Assignments, canceled, NOTHING_KEPT } from './assignments.ts'
import { type BotAsk, checkBotRoom } from './bot-room.ts'
import { Dispatch, type Patience } from './dispatch.ts'
import type { Demand, MadeGroups, Size, WaitingDemand } from './made-groups.ts'
import { type RunnerKey, runnerKey, workspaceKey } from './matching.ts'
import { type GroupBoxes, KnownRunners, type Runner, type RunnerRules, type RunnerStore } from './roster.ts'
import { RunnerAsks } from './runner-asks.ts'
import { commandCancel, commandInput } from './runner-commands.ts'
import { RunnerHandshake } from './runner-handshake.ts'
import { type Authenticate, Incoming, RunnerLinks } from './runner-links.ts'

export interface FleetOptions {
  authenticate: Authenticate
  /** Whether what the action does outlives the runner's process. */
  isDurable(action: string): boolean
  /** Asked just before an attempt that has secrets is sent to its runner. Absent: there are none. */
  secrets?: SecretSource
  /** Default 5,000. A link that is silent for three of them is given up. */
  heartbeatMs?: number
  /** Default 60,000. What a runner had that stays away for longer is lost. */
  lostAfterMs?: number
  /** Between SIGTERM and SIGKILL of a cancel. Default 10,000. */
  graceMs?: number
  /** Default 10,000. */
  helloTimeoutMs?: number
  /** Default 30,000. How often the tokens of open links are looked at again, beside each `recheck`. */
  recheckMs?: number
  /** The least box of whatever runs in a group; absent: none is asked for. */
  groupBoxes?: GroupBoxes
  /** Groups whose runners are made; absent: there are none. */
  made?: MadeGroups
  /** How patient placement is. */
  placement?: Patience
  /** Remembers runners for the next process. Default: nothing does. */
  store?: RunnerStore
  log?: Log
}

/**
 * Carries out attempts on connected runners. It welcomes none before `ready`, so that no work is taken for unknown
 * while open runs are still taken up again. Close it before the engine whose attempts it has.
 */
export class Fleet implements StepHost {
  readonly #graceMs: number
  readonly #roster = new Map<RunnerKey, Runner>()
  readonly #assignments: Assignments
  readonly #dispatch: Dispatch
  readonly #handshake: RunnerHandshake
  readonly #known: KnownRunners
  readonly #links: RunnerLinks
  readonly #made: MadeGroups | undefined
  readonly #stop = new AbortController()
  /** For people: what is there, and what an admin does with it. */
  readonly runners: ManagedRunners
  readonly asks: RunnerAsks

  constructor(options: FleetOptions) {
    const { authenticate, isDurable, secrets, log = () => {} } = options
    const { heartbeatMs = 5_000, lostAfterMs = 60_000, graceMs = 10_000, helloTimeoutMs = 10_000 } = options
    const { recheckMs = 30_000 } = options
    const runners = this.#roster
    const { signal } = this.#stop
    const drop = (assignment: Assignment) => this.#dispatch.drop(assignment)
    const { groupBoxes: boxOf, made } = options
    const rules: RunnerRules = { boxOf, runOf: made && ((tenant, id) => made.runOf(tenant, id)) }
    const assignments = new Assignments({ runners, drop, log, secrets, signal, made })
    const dispatch = new Dispatch({ runners, assignments, signal, made, ...options.placement })
    const known = new KnownRunners(options.store, log, rules)
    const parts = { runners, known, assignments, dispatch, rules }
    const handshake = new RunnerHandshake({ ...parts, isDurable, heartbeatMs, lostAfterMs, graceMs, log })
    const asks = new RunnerAsks(runners)
    const incoming = new Incoming({ handshake, assignments, dispatch, asks, graceMs })
    this.asks = asks
    this.#graceMs = graceMs
    this.#made = made
    this.#assignments = assignments
    this.#dispatch = dispatch
    this.#handshake = handshake
    this.#known = known
    this.#links = new RunnerLinks({
      ...{ authenticate, handshake, incoming, asks, heartbeatMs, helloTimeoutMs, recheckMs, log },
    })
    this.runners = new ManagedRunners({ ...parts, handshake })
  }

  /** Takes links on the server's `/api/runner-link`. */
  attach(server: Server, callerOf = callersBehind([])): void {
    this.#links.attach(server, callerOf)
  }

  /** Knows the runners of the process before again. Before the runs are taken up. */
  recall(): Promise<void> {
    return this.#known.recall(this.#roster)
  }

  /** The demands of groups have changed: what waits is looked at again. */
  groupsChanged(): void {
    this.#dispatch.groupsChanged()
    for (const runner of this.#roster.values()) this.#dispatch.rosterChanged(runner)
  }

  /** Runs that wait for a runner of a group whose runners are made, the longest first. */
  demands(group: string): WaitingDemand[] {
    return this.#dispatch.demands(group)
  }

  /** Ends all that waits for the run's runner of the group, as none will ever take it. */
  giveUp(group: string, demand: Demand, end: Pick<AttemptEnd, 'reason' | 'message'>): void {
    this.#dispatch.giveUp(group, demand, end)
  }

  /** How the hub sees a runner that was made. */
  seen({ tenant, id }: TenantRunner) {
    const runner = this.#roster.get(runnerKey(tenant, id))
    const connected = runner?.link !== undefined
    return {
      ...{ connected, open: runner?.status === 'connected' },
      lost: !connected && runner?.expected !== true,
      attempts: runner?.held.size ?? 0,
      ...(connected && { size: { cpus: runner.cpus, memoryBytes: runner.memoryBytes } }),
    }
  }

  /** The sizes of the tenant's runners of the group that were not made, also of those that are away. */
  sizesBeside(group: string, tenant: string): Size[] {
    return [...this.#roster.values()]
      .filter((runner) => runner.tenant === tenant && runner.group === group && runner.run === undefined)
      .map(({ cpus, memoryBytes }) => ({ cpus, memoryBytes }))
  }

  /** Those that wait are told again why, soon. */
  retell(): void {
    this.#dispatch.retell()
  }

  /** Closes the links whose token is no longer good. */
  recheck(): Promise<void> {
    return this.#links.recheck()
  }

  /** All open runs are taken up again: from now on runners are welcome. May be called twice. */
  ready(): void {
    this.#handshake.open()
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    return this.#dispatch.place(spec)
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    const assignment = this.#assignments.add(spec, placement, NOTHING_KEPT, sink)
    this.#dispatch.begin(assignment, keyOf(spec, placement))
  }

  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): void {
    const { started, streams, reports = started ? 1 : 0, inputs = [], epoch = 0 } = known
    const from = { ...NOTHING_KEPT, ...streams, reports }
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
      // Nobody to wait for: what is left of it is stopped when its runner comes back.
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
    this.#made?.changed()
  }

  takeBack(runId: string): void {
    for (const key of this.#assignments.takeBack(runId)) this.#handshake.greetAnew(key)
  }

  runEnded(runId: string): void {
    this.takeBack(runId)
    this.#made?.changed()
    for (const assignment of this.#dispatch.takeParked(runId)) this.#assignments.remove(assignment)
    // One that is away names the run when it comes back.
    for (const key of this.#dispatch.affinity.take(runId))
      this.#roster.get(key)?.link?.send({ type: 'forget_run', run_id: runId })
  }

  /** The runner has the workspace of the run: for steps that ended before the run was taken up again. */
  remember(spec: Pick<AttemptSpec, 'run_id' | 'tenant' | 'requires'>, runner: string): void {
    const workspace = workspaceKey(spec.requires)
    this.#dispatch.affinity.set(spec, workspace, runnerKey(spec.tenant, runner))
    this.#dispatch.affinity.use(spec.run_id, workspace)
  }

  /** How the bot is that the attempt is, as its runner has told last; undefined where it has told nothing. */
  liveBot(attemptId: string): BotLive | undefined {
    return this.#assignments.get(attemptId)?.live
  }

  /** For how long the attempt's runner has been connected; 0 while it is away. */
  heardForMs(attemptId: string): number {
    const { stage } = this.#assignments.get(attemptId) ?? {}
    const runner = stage?.type === 'placed' ? this.#roster.get(stage.runner) : undefined
    return runner?.link === undefined ? 0 : Date.now() - runner.connectedAtMs
  }

  /** The facts that the hub's figures are made of. */
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

/** The log has the id alone: the runner is of the run's tenant. */
const keyOf = ({ tenant }: AttemptSpec, placement: Placement | undefined): RunnerKey | undefined =>
  placement?.runner === undefined ? undefined : runnerKey(tenant, placement.runner)

interface ManagedRunnersOptions {
  runners: Map<RunnerKey, Runner>
  known: KnownRunners
  assignments: Assignments
  dispatch: Dispatch
  handshake: RunnerHandshake
}

/** The runners as people see them, and what an admin does with them. */
class ManagedRunners {
  readonly #options: ManagedRunnersOptions

  constructor(options: ManagedRunnersOptions) {
    this.#options = options
  }

  /** Calls after each change. */
  onChanged(call: () => void): void {
    this.#options.dispatch.changed = call
  }

  /** Those of the tenant, or all. */
  list(tenant?: string): RunnerView[] {
    return [...this.#options.runners.values()]
      .filter((runner) => tenant === undefined || runner.tenant === tenant)
      .flatMap((runner) => (runner.hello ? [runner.view(runner.hello)] : []))
  }

  /** Throws `invalid_argument` where none of those that are there could ever hold it. */
  checkBot(ask: BotAsk): void {
    checkBotRoom(this.#options.runners.values(), ask)
  }

  /** The attempts of the tenant that wait for a runner, and why; first come, first. */
  waiting(tenant: string): { spec: AttemptSpec; why: string }[] {
    return this.#options.assignments.whyWaiting(tenant)
  }

  /** The attempts that the runner was given and has not ended. */
  attempts(which: TenantRunner): AttemptSpec[] {
    const runner = this.#find(which)
    return runner ? this.#options.assignments.givenTo(runner).map(({ spec }) => spec) : []
  }

  /** The runner takes nothing new and finishes what it has, until `undrain`; kept when this resolves. False: there is none. */
  drain(which: TenantRunner): Promise<boolean> {
    return this.#setDrained(which, true)
  }

  /** False: there is none. */
  undrain(which: TenantRunner): Promise<boolean> {
    return this.#setDrained(which, false)
  }

  /** Sends the runner away; what it had is lost, and where it hears of that it ends it. False: there is none. */
  async remove(
    which: TenantRunner,
    { reason = 'lost', message }: { reason?: 'lost' | 'oom'; message?: string } = {},
  ): Promise<boolean> {
    const { runners, known, assignments, dispatch, handshake } = this.#options
    const runner = this.#find(which)
    if (!runner) return false
    const why = message ?? `Runner "${runner.id}" was removed from this hub.`
    for (const { spec, epoch } of assignments.givenTo(runner))
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
