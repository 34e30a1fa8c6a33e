import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { Hello, RunnerFrame, RunnerView } from '../../contract/protocol.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import type { Log } from '../../platform/log.ts'
import type { Assignment } from './assignment.ts'
import { Dispatch, type Patience } from './dispatch.ts'
import { KnownRunners, type RunnerStore } from './known-runners.ts'
import { canceled, Ledger, NOTHING_KEPT } from './ledger.ts'
import { workspaceKey } from './needs.ts'
import { orderCancel, orderInput } from './orders.ts'
import { Reception } from './reception.ts'
import type { Runner } from './roster.ts'
import { type LinkHandlers, RunnerLink } from './runner-link.ts'
import { type Authenticate, acceptLinks, type Opened } from './upgrade.ts'

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
  readonly #options: Required<Omit<FleetOptions, 'store' | 'secrets' | 'placement'>>
  readonly #runners = new Map<string, Runner>()
  readonly #ledger: Ledger
  readonly #dispatch: Dispatch
  readonly #reception: Reception
  readonly #known: KnownRunners
  readonly #links = new Map<RunnerLink, Opened['again']>()
  readonly #detach: (() => void)[] = []
  #opened = 0
  #closed = 0
  readonly #stop = new AbortController()

  constructor(options: FleetOptions) {
    const defaults = { heartbeatMs: 5_000, lostAfterMs: 60_000, graceMs: 10_000, helloTimeoutMs: 10_000 }
    this.#options = { ...defaults, log: () => {}, ...options }
    const runners = this.#runners
    const { signal } = this.#stop
    const drop = (assignment: Assignment) => this.#dispatch.drop(assignment)
    this.#ledger = new Ledger({ runners, drop, log: this.#options.log, secrets: options.secrets, signal })
    this.#dispatch = new Dispatch({ runners, ledger: this.#ledger, signal, ...options.placement })
    const { heartbeatMs, lostAfterMs, graceMs, isDurable, log } = this.#options
    this.#known = new KnownRunners(options.store, log)
    this.#reception = new Reception({
      runners,
      known: this.#known,
      ledger: this.#ledger,
      dispatch: this.#dispatch,
      isDurable,
      heartbeatMs,
      lostAfterMs,
      graceMs,
      log,
    })
  }

  /** Takes links on the server's `/api/runner-link`. */
  attach(server: Server): void {
    const handlers: LinkHandlers = {
      hello: (link, hello) => this.#reception.hello(link, hello),
      frame: (link, frame) => this.#frame(link, frame),
      output: (link, frame) => {
        const assignment = this.#find(link, frame, true)
        assignment?.inbox.output(frame.stream, frame.offset, frame.bytes, link)
      },
      closed: (link) => {
        this.#links.delete(link)
        this.#closed++
        if (!this.#stop.signal.aborted) this.#reception.closed(link)
      },
    }
    const accept = (ws: WebSocket, socket: Socket, { principal, again }: Opened) => {
      if (this.#stop.signal.aborted) return ws.terminate()
      this.#opened++
      this.#links.set(new RunnerLink(ws, socket, principal, handlers, this.#options), again)
    }
    this.#detach.push(acceptLinks(server, this.#options.authenticate, accept))
  }

  /** Knows the runners of the process before again. Before the runs are taken up. */
  recall(): Promise<void> {
    return this.#known.recall(this.#runners)
  }

  /** Closes the links whose token is no longer good. */
  async recheck(): Promise<void> {
    for (const [link, again] of this.#links) {
      // A store that cannot be asked refuses nobody.
      const answer = await again().catch(() => undefined)
      if (answer && 'refused' in answer) link.refuse('unauthorized', answer.refused, true)
    }
  }

  /** All open runs are taken up again: from now on runners are welcome. May be called twice. */
  ready(): void {
    this.#reception.open()
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    return this.#dispatch.place(spec)
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    this.#dispatch.begin(this.#ledger.add(spec, placement, NOTHING_KEPT, sink), placement?.runner)
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
    assignment.sent = { type: 'unknown' }
    assignment.begun = started
    this.#reception.expect(assignment, placement.runner)
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    if (this.#dispatch.unplace(attemptId)) return
    const assignment = this.#ledger.get(attemptId)
    if (!assignment || (assignment.cancel && (assignment.cancel.force || !force))) return
    const { stage } = assignment
    assignment.cancel = { reason: assignment.cancel?.reason ?? reason, force }
    if (stage.type === 'placed') {
      const link = this.#runners.get(stage.runner)?.link
      if (link) orderCancel(assignment, link, this.#options.graceMs)
      // Nobody to wait for: what is left of it is stopped when its runner comes back.
      else if (force) this.#ledger.settle(assignment, canceled(assignment.cancel.reason))
    } else if (stage.type !== 'assigning') this.#ledger.settle(assignment, canceled(assignment.cancel.reason))
  }

  input(attemptId: string, input: AttemptInput): void {
    const assignment = this.#ledger.get(attemptId)
    if (!assignment || assignment.inputs.has(input.input_id)) return
    assignment.inputs.set(input.input_id, input)
    const { stage } = assignment
    const link = stage.type === 'placed' ? this.#runners.get(stage.runner)?.link : undefined
    if (link) orderInput(assignment, link, input)
  }

  runEnded(runId: string): void {
    for (const assignment of this.#dispatch.takeParked(runId)) this.#ledger.remove(assignment)
    // One that is away names the run when it comes back.
    for (const id of this.#dispatch.homes.take(runId))
      this.#runners.get(id)?.link?.send({ type: 'forget_run', run_id: runId })
  }

  /** The runner has the workspace of the run: for steps that ended before the run was taken up again. */
  remember({ run_id, requires }: Pick<AttemptSpec, 'run_id' | 'requires'>, runner: string): void {
    this.#dispatch.homes.set(run_id, workspaceKey(requires), runner)
  }

  /** Those of the tenant, or all. */
  list(tenant?: string): RunnerView[] {
    return [...this.#runners.values()]
      .filter((runner) => tenant === undefined || runner.tenant === tenant)
      .flatMap((runner) => (runner.hello ? [runner.view(runner.hello)] : []))
  }

  /** What the hub's figures are made of. */
  figures() {
    return {
      runners: this.list(),
      waiting: this.#ledger.waiting(),
      links: { opened: this.#opened, closed: this.#closed },
      reconnects: this.#reception.reconnects,
    }
  }

  /** What the runner was given and has not ended. */
  attempts(id: string): AttemptSpec[] {
    const runner = this.#runners.get(id)
    return runner ? this.#ledger.givenTo(runner).map(({ spec }) => spec) : []
  }

  /** The runner takes nothing new and finishes what it has, until `undrain`; kept when this resolves. False: there is none. */
  drain(id: string): Promise<boolean> {
    return this.#setDrained(id, true)
  }

  /** False: there is none. */
  undrain(id: string): Promise<boolean> {
    return this.#setDrained(id, false)
  }

  /** Sends the runner away; what it had is lost. False: there is none. */
  async remove(id: string): Promise<boolean> {
    const runner = this.#runners.get(id)
    if (!runner) return false
    const why = `Runner "${id}" was removed from this hub.`
    runner.link?.refuse('forbidden', why, false)
    clearTimeout(runner.lostTimer)
    this.#reception.giveUp(runner, why)
    this.#runners.delete(id)
    this.#dispatch.rosterChanged(runner)
    await this.#known.forget(id)
    return true
  }

  async close(): Promise<void> {
    this.#stop.abort()
    for (const detach of this.#detach.splice(0)) detach()
    this.#reception.close()
    const links = [...this.#links.keys()]
    for (const link of links) link.refuse('unavailable', 'The hub is stopping.', true)
    await Promise.all(links.map((link) => link.gone))
  }

  async #setDrained(id: string, drained: boolean): Promise<boolean> {
    const runner = this.#runners.get(id)
    if (!runner) return false
    runner.drained = drained
    this.#dispatch.rosterChanged(runner)
    await this.#known.keep(runner)
    return true
  }

  #frame(link: RunnerLink, frame: Exclude<RunnerFrame, Hello>): void {
    const runner = this.#reception.runnerOf(link)
    if (frame.type === 'draining') {
      if (!runner) return
      runner.draining = true
      this.#dispatch.rosterChanged(runner)
      return
    }
    if (frame.type === 'agents') {
      if (runner?.hello) runner.hello.agents = frame.agents
      return
    }
    if (frame.type === 'containers') {
      if (!runner?.hello) return
      runner.hello.containers = frame.containers
      this.#dispatch.rosterChanged(runner)
      return
    }
    const assignment = this.#find(link, frame, frame.type !== 'rejected')
    if (!runner || !assignment) return
    if (frame.type === 'rejected') {
      // One that drains would take it at another time.
      if (!runner.draining) assignment.rejections.set(runner.id, frame.message)
      assignment.sent = { type: 'never' }
      this.#dispatch.again(assignment)
      return
    }
    assignment.begun = true
    if (frame.type === 'report') assignment.inbox.report(frame.n, frame.report)
  }

  /** What the frame is about. A runner that is at something it should not be at is told so, if it works on it. */
  #find(
    link: RunnerLink,
    { attempt_id, epoch }: { attempt_id: string; epoch: number },
    worksOnIt: boolean,
  ): Assignment | undefined {
    const runner = this.#reception.runnerOf(link)
    if (!runner) return undefined
    const assignment = this.#ledger.get(attempt_id)
    const stage = assignment?.stage
    if (assignment?.epoch === epoch && stage?.type === 'placed' && stage.runner === runner.id)
      return assignment
    const why = 'it ended here, or was handed on'
    if (worksOnIt) link.send({ type: 'superseded', attempt_id, epoch, why })
    return undefined
  }
}
