import type { Server } from 'node:http'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { BotLive } from '../../contract/bot.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import type { Log } from '../../platform/log.ts'
import { RunnerAsks } from './asks.ts'
import type { Assignment } from './assignment.ts'
import { Dispatch, type Patience } from './dispatch.ts'
import { Incoming } from './incoming.ts'
import { KnownRunners, type RunnerStore } from './known-runners.ts'
import { canceled, Ledger, NOTHING_KEPT } from './ledger.ts'
import { Links } from './links.ts'
import { ManagedRunners } from './managed-runners.ts'
import { type RunnerKey, runnerKey, workspaceKey } from './needs.ts'
import { orderCancel, orderInput } from './orders.ts'
import { Reception } from './reception.ts'
import type { Runner } from './roster.ts'
import type { Authenticate } from './upgrade.ts'

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
  readonly #ledger: Ledger
  readonly #dispatch: Dispatch
  readonly #reception: Reception
  readonly #known: KnownRunners
  readonly #links: Links
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
    const ledger = new Ledger({ runners, drop, log, secrets, signal })
    const dispatch = new Dispatch({ runners, ledger, signal, ...options.placement })
    const known = new KnownRunners(options.store, log)
    const parts = { runners, known, ledger, dispatch }
    const reception = new Reception({ ...parts, isDurable, heartbeatMs, lostAfterMs, graceMs, log })
    const asks = new RunnerAsks(runners)
    const incoming = new Incoming({ reception, ledger, dispatch, asks })
    this.asks = asks
    this.#graceMs = graceMs
    this.#ledger = ledger
    this.#dispatch = dispatch
    this.#reception = reception
    this.#known = known
    this.#links = new Links({
      ...{ authenticate, reception, incoming, asks, heartbeatMs, helloTimeoutMs, recheckMs, log },
    })
    this.runners = new ManagedRunners({ ...parts, reception })
  }

  /** Takes links on the server's `/api/runner-link`. */
  attach(server: Server): void {
    this.#links.attach(server)
  }

  /** Knows the runners of the process before again. Before the runs are taken up. */
  recall(): Promise<void> {
    return this.#known.recall(this.#roster)
  }

  /** Closes the links whose token is no longer good. */
  recheck(): Promise<void> {
    return this.#links.recheck()
  }

  /** All open runs are taken up again: from now on runners are welcome. May be called twice. */
  ready(): void {
    this.#reception.open()
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    return this.#dispatch.place(spec)
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    const assignment = this.#ledger.add(spec, placement, NOTHING_KEPT, sink)
    this.#dispatch.begin(assignment, keyOf(spec, placement))
  }

  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): void {
    const { started, streams, reports = started ? 1 : 0, inputs = [] } = known
    const assignment = this.#ledger.add(spec, placement, { ...NOTHING_KEPT, ...streams, reports }, sink)
    for (const input of inputs) assignment.inputs.set(input.input_id, input)
    if (placement?.runner === undefined) {
      this.#dispatch.begin(assignment, undefined)
      return
    }
    assignment.sent = { type: 'unknown', storage: placement.storage_id }
    assignment.begun = started
    this.#reception.expect(assignment, placement.runner)
    if (started) this.#dispatch.begun(assignment)
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    if (this.#dispatch.unplace(attemptId)) return
    const assignment = this.#ledger.get(attemptId)
    if (!assignment || (assignment.cancel && (assignment.cancel.force || !force))) return
    const { stage } = assignment
    assignment.cancel = { reason: assignment.cancel?.reason ?? reason, force }
    if (stage.type === 'placed') {
      const link = this.#roster.get(stage.runner)?.link
      if (link) orderCancel(assignment, link, this.#graceMs)
      // Nobody to wait for: what is left of it is stopped when its runner comes back.
      else if (force) this.#ledger.settle(assignment, canceled(assignment.cancel.reason))
    } else if (stage.type !== 'assigning') this.#ledger.settle(assignment, canceled(assignment.cancel.reason))
  }

  input(attemptId: string, input: AttemptInput): void {
    const assignment = this.#ledger.get(attemptId)
    if (!assignment || assignment.inputs.has(input.input_id)) return
    assignment.inputs.set(input.input_id, input)
    const { stage } = assignment
    const link = stage.type === 'placed' ? this.#roster.get(stage.runner)?.link : undefined
    if (link) orderInput(assignment, link, input)
  }

  runEnded(runId: string): void {
    for (const assignment of this.#dispatch.takeParked(runId)) this.#ledger.remove(assignment)
    // One that is away names the run when it comes back.
    for (const key of this.#dispatch.homes.take(runId))
      this.#roster.get(key)?.link?.send({ type: 'forget_run', run_id: runId })
  }

  /** The runner has the workspace of the run: for steps that ended before the run was taken up again. */
  remember(spec: Pick<AttemptSpec, 'run_id' | 'tenant' | 'requires'>, runner: string): void {
    const workspace = workspaceKey(spec.requires)
    this.#dispatch.homes.set(spec, workspace, runnerKey(spec.tenant, runner))
    this.#dispatch.homes.use(spec.run_id, workspace)
  }

  /** How the bot is that the attempt is, as its runner has told last; undefined where it has told nothing. */
  liveBot(attemptId: string): BotLive | undefined {
    return this.#ledger.get(attemptId)?.live
  }

  /** For how long the attempt's runner has been connected; 0 while it is away. */
  heardForMs(attemptId: string): number {
    const { stage } = this.#ledger.get(attemptId) ?? {}
    const runner = stage?.type === 'placed' ? this.#roster.get(stage.runner) : undefined
    return runner?.link === undefined ? 0 : Date.now() - runner.connectedAtMs
  }

  /** The facts that the hub's figures are made of. */
  figures() {
    return {
      runners: this.runners.list(),
      waiting: this.#ledger.waiting(),
      links: this.#links.counts,
      reconnects: this.#reception.reconnects,
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#reception.close()
    await this.#links.close()
  }
}

/** The log has the id alone: the runner is of the run's tenant. */
const keyOf = ({ tenant }: AttemptSpec, placement: Placement | undefined): RunnerKey | undefined =>
  placement?.runner === undefined ? undefined : runnerKey(tenant, placement.runner)
