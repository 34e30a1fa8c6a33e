import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import type { Placement } from '../../engine/ports.ts'
import { Backoff } from '../../platform/time.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import { type Assignment, type Assignments, boxOf, canceled, isAside, runnerOf } from './assignments.ts'
import { givesBox, groupOf, needKey, needOf, type RunnerKey, withGroupBox, workspaceKey } from './matching.ts'
import {
  type Demand,
  demandOf,
  needIn,
  type ProvisionedGroups,
  type WaitingDemand,
} from './provisioned-groups.ts'
import { Queue } from './queue.ts'
import type { Runner } from './roster.ts'
import { commandStart } from './runner-commands.ts'
import { FairShare, type User } from './wait-queues.ts'

/** Configures how long waiting attempts may be passed over and how often they get a new reason. */
export interface WaitLimits {
  /**
   * Number of times a waiting attempt is passed over for smaller ones before a runner is reserved for it. Default 10.
   */
  patience?: number
  /** Longest time that a runner stays reserved, in milliseconds. Default 600,000. */
  keepMs?: number
  /** Shortest time between two updates of the reason for waiting, in milliseconds. Default 500. */
  reportIntervalMs?: number
}

export interface DispatchOptions extends WaitLimits {
  runners: ReadonlyMap<RunnerKey, Runner>
  assignments: Assignments
  /** Groups with provisioned runners; absent when there are none. */
  provisionedGroups?: ProvisionedGroups
  signal: AbortSignal
}

/**
 * Decides which runner gets which attempt. It tracks free room, queues the attempts that wait, and knows why each
 * waits. The stages of an attempt are those of `Stage` in `assignments.ts`.
 */
export class Dispatch {
  readonly affinity = new RunAffinity()
  readonly #options: DispatchOptions
  readonly #fairShare = new FairShare()
  readonly #queue: Queue
  /** Attempts that the sink no longer wants. A cancel or the end of the run takes them away. */
  readonly #parked = new Set<Assignment>()
  /** Attempts that were placed or told to wait while their creation is being committed. */
  readonly #reserved = new Map<string, { arrival: number; waiting?: string }>()
  /** Attempts that hold room on a runner, each with the user who owns it. */
  readonly #places = new Map<string, { runner: Runner; user: User }>()
  #arrivals = 0

  constructor(options: DispatchOptions) {
    const { runners, assignments, signal, patience = 10, keepMs = 600_000, reportIntervalMs = 500 } = options
    this.#options = options
    this.#queue = new Queue({
      ...{ runners, signal, patience, keepMs, reportIntervalMs, fairShare: this.#fairShare },
      reported: () => this.changed(),
      whyElse: (need) => {
        const demand = demandOf(need)
        return demand && options.provisionedGroups?.why(groupOf(need.requires)!, demand)
      },
      homeOf: ({ spec, workspace }) => this.affinity.of(spec.run_id, workspace),
      give: (assignment, runner) => {
        assignment.stage = { type: 'assigning', runner }
        this.#hold(assignment.spec, runner)
        void this.#assign(assignment, runner)
      },
      rejected: (assignment) => {
        const message = [...assignment.rejections.values()].join('; ')
        assignments.settle(assignment, { type: 'ended', outcome: 'failed', reason: 'rejected', message })
      },
    })
  }

  /** Called when a runner has come or gone, or has more or less to do. */
  changed: () => void = () => {}

  #notifyChanged(): void {
    this.changed()
    this.#options.provisionedGroups?.changed()
  }

  /** Recomputes the needs of waiting attempts after groups have started or stopped provisioning their runners. */
  groupsChanged(): void {
    for (const assignment of this.#options.assignments.queued()) {
      const need = needIn(assignment.spec, this.#options.provisionedGroups)
      const key = needKey(need)
      if (key === assignment.need.key) continue
      this.#queue.leave(assignment)
      assignment.need = { need, key }
      this.#queue.enter(assignment)
    }
    this.#options.provisionedGroups?.changed()
  }

  /** Soon updates the reason for waiting of every attempt in the queue. */
  reportAgain(): void {
    this.#queue.reportAgain()
  }

  /** Returns `Queue.demands` of the group. */
  demands(group: string): WaitingDemand[] {
    return this.#queue.demands(group)
  }

  /**
   * Fails everything that waits for the run's provisioned runner of the group, because no runner will ever take it.
   * Without a message in `end`, the reason for waiting becomes the message.
   */
  giveUp(group: string, demand: Demand, end: Pick<AttemptEnd, 'reason' | 'message'>): void {
    for (const assignment of this.#queue.waitingFor(group, demand)) {
      const why = assignment.stage.type === 'waiting' ? assignment.stage.why : undefined
      this.#options.assignments.settle(assignment, {
        ...{ type: 'ended', outcome: 'failed', reason: end.reason, message: end.message ?? why },
      })
    }
  }

  /** Number of attempts that wait. */
  get waiting(): number {
    return this.#queue.size
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    const need = needIn(spec, this.#options.provisionedGroups)
    const arrival = ++this.#arrivals
    const home = this.affinity.of(spec.run_id, workspaceKey(spec.requires))
    const position = { need, key: needKey(need), home, not: new Set<RunnerKey>() }
    const choice = this.#queue.choose(position, { user: this.#fairShare.of(spec), arrival })
    if (choice.type === 'runner') {
      this.#reserved.set(spec.attempt_id, { arrival })
      this.#hold(spec, choice.key)
      return { ...this.#placeOn(choice.key), epoch: 1 }
    }
    const waiting = choice.type === 'wait' ? choice.why : 'no runner accepts it'
    this.#reserved.set(spec.attempt_id, { arrival, waiting })
    return { waiting }
  }

  /** Releases a reserved place that was not used. Returns false if there was none. */
  unplace(attemptId: string): boolean {
    if (!this.#reserved.delete(attemptId)) return false
    this.#free(attemptId)
    return true
  }

  /** Releases everything that was reserved for the run. */
  unplaceRun(runId: string): void {
    for (const id of [...this.#reserved.keys()]) if (splitAttemptId(id).runId === runId) this.unplace(id)
  }

  /** Starts an attempt after `place`, or without it when the run is resumed. */
  begin(assignment: Assignment, runner: RunnerKey | undefined): void {
    const { attempt_id } = assignment.spec
    const reserved = this.#reserved.get(attempt_id)
    this.#reserved.delete(attempt_id)
    assignment.arrival = reserved?.arrival ?? ++this.#arrivals
    if (runner === undefined) {
      this.#enqueue(assignment, reserved?.waiting ?? '')
      return
    }
    this.#place(assignment, runner)
    this.#handOrQueue(assignment, runner)
  }

  /** Counts the attempt as one of that runner, as the log of a resumed run says. */
  hold(assignment: Assignment, runner: RunnerKey): void {
    assignment.arrival = ++this.#arrivals
    this.#place(assignment, runner)
  }

  /** Marks the attempt as one that its runner has. */
  begun(assignment: Assignment): void {
    assignment.begun = true
    this.affinity.use(assignment.spec.run_id, assignment.workspace)
  }

  /** Queues an attempt again that its runner did not take, unless it was canceled. */
  again(assignment: Assignment): void {
    if (assignment.cancel) {
      this.#options.assignments.settle(assignment, canceled(assignment.cancel.reason))
      return
    }
    const { run_id, attempt_id } = assignment.spec
    this.#free(attempt_id)
    if (this.affinity.leaveUnused(run_id, assignment.workspace))
      this.#queue.rehome(run_id, assignment.workspace)
    this.#enqueue(assignment, '')
  }

  /** Releases what a finished attempt held and offers it to the next. */
  drop(assignment: Assignment): void {
    if (this.#queue.leave(assignment)) this.#notifyChanged()
    this.#parked.delete(assignment)
    if (runnerOf(assignment) !== undefined) this.#free(assignment.spec.attempt_id)
  }

  /** Removes and returns the parked attempts of a run that is over. */
  takeParked(runId: string): Assignment[] {
    const left = [...this.#parked].filter((assignment) => assignment.spec.run_id === runId)
    for (const assignment of left) this.#parked.delete(assignment)
    return left
  }

  /**
   * Places what can be placed after a runner has come, gone or changed, and updates the reason for waiting of the
   * rest.
   */
  rosterChanged(runner: Runner): void {
    this.#queue.rosterChanged(runner)
    this.#notifyChanged()
  }

  #place(assignment: Assignment, runner: RunnerKey): void {
    assignment.stage = { type: 'placed', runner }
    this.#hold(assignment.spec, runner)
    // The slot may have been taken before the stage changed, so `#hold` may not have announced it.
    this.changed()
  }

  #enqueue(assignment: Assignment, why: string): void {
    assignment.stage = { type: 'waiting', why }
    assignment.waitsSinceMs = performance.now()
    this.#queue.enter(assignment)
    this.#notifyChanged()
  }

  /** Takes room on the runner for the attempt; a no-op if it has room already. */
  #hold(spec: AttemptSpec, key: RunnerKey): void {
    const runner = this.#options.runners.get(key)
    if (!runner || this.#places.has(spec.attempt_id)) return
    const user = this.#fairShare.took(spec)
    this.#places.set(spec.attempt_id, { runner, user })
    runner.take(spec)
    const workspace = workspaceKey(spec.requires)
    if (runner.run === null)
      this.#options.provisionedGroups?.bound(runner.tenant, runner.id, { run_id: spec.run_id, workspace })
    this.#notifyChanged()
    if (this.affinity.set(spec, workspace, key)) this.#queue.rehome(spec.run_id, workspace)
  }

  #free(attemptId: string): void {
    const place = this.#places.get(attemptId)
    if (!place) return
    this.#places.delete(attemptId)
    place.runner.give(attemptId)
    this.#notifyChanged()
    this.#fairShare.gave(place.user)
    this.#queue.freed(place.runner)
  }

  async #assign(assignment: Assignment, runner: RunnerKey): Promise<void> {
    const { signal, assignments } = this.#options
    const backoff = new Backoff({ firstMs: 100, maxMs: 10_000 })
    const placement = { ...this.#placeOn(runner), epoch: assignment.epoch + 1 }
    let isAccepted: boolean
    for (;;)
      try {
        isAccepted = await assignment.sink.assigned(placement)
        break
      } catch (error) {
        assignments.failed(assignment, error)
        if (!isAside(assignment)) await sleep(backoff.next(), undefined, { signal }).catch(() => {})
        if (signal.aborted || isAside(assignment)) return
      }
    if (signal.aborted || assignment.stage.type !== 'assigning') return
    if (isAccepted) {
      assignment.epoch = placement.epoch
      assignment.box = boxOf(placement)
      assignments.nextEpoch(assignment)
    }
    if (assignment.cancel) assignments.settle(assignment, canceled(assignment.cancel.reason))
    else if (isAccepted) {
      assignment.stage = { type: 'placed', runner }
      this.changed()
      this.#handOrQueue(assignment, runner)
    } else this.#park(assignment)
  }

  /** Returns the placement as the log stores it. The log names the run, and with it the tenant of the runner. */
  #placeOn(key: RunnerKey): Omit<Placement, 'epoch'> {
    const runner = this.#options.runners.get(key)
    const { isolation, network } = runner?.groupBox ?? {}
    return {
      runner: runner?.id,
      storage_id: runner?.hello?.storage_id,
      ...(isolation && { isolation }),
      ...(network && { network }),
    }
  }

  #park(assignment: Assignment): void {
    this.drop(assignment)
    assignment.stage = { type: 'parked' }
    this.#parked.add(assignment)
  }

  /**
   * Sends the attempt to its runner, or queues it again if the runner left while the placement was committed. It was
   * never sent then, so any runner may have it.
   */
  #handOrQueue(assignment: Assignment, key: RunnerKey): void {
    const runner = this.#options.runners.get(key)
    const { spec, workspace } = assignment
    const goes =
      runner?.status === 'connected' || (runner?.finishing && this.affinity.isUsed(spec.run_id, workspace))
    if (runner && goes) this.startOn(assignment, runner)
    else this.again(assignment)
  }

  /**
   * Sends the attempt to its connected runner. A runner that came back and can no longer give the box never gets it.
   */
  startOn(assignment: Assignment, runner: Runner): void {
    if (givesBox(runner, needOf(withGroupBox(assignment.spec, assignment.box))))
      commandStart(assignment, runner, this.#options.assignments)
    else this.again(assignment)
  }
}

interface Home {
  runner: RunnerKey
  used: boolean
}

interface Locations {
  tenant: string
  byWorkspace: Map<string, Home>
  /** Runners that the run has been on. */
  seen: Set<RunnerKey>
}

/** Records which runner a run works on, so that its steps share one workspace. Hosts with equal needs share one. */
class RunAffinity {
  readonly #runs = new Map<string, Locations>()

  of(runId: string, workspace: string): RunnerKey | undefined {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.runner
  }

  /** Makes the runner the home of the workspace. Returns true if it was not the home before. */
  set(
    { run_id, tenant = DEFAULT_TENANT }: Pick<AttemptSpec, 'run_id' | 'tenant'>,
    workspace: string,
    runner: RunnerKey,
  ): boolean {
    const run: Locations = this.#runs.get(run_id) ?? { tenant, byWorkspace: new Map(), seen: new Set() }
    this.#runs.set(run_id, run)
    const changed = run.byWorkspace.get(workspace)?.runner !== runner
    if (changed) run.byWorkspace.set(workspace, { runner, used: false })
    run.seen.add(runner)
    return changed
  }

  /** Marks the home as used: a step has begun there, so there may be files. */
  use(runId: string, workspace: string): void {
    const home = this.#runs.get(runId)?.byWorkspace.get(workspace)
    if (home) home.used = true
  }

  isUsed(runId: string, workspace: string): boolean {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.used === true
  }

  /** Drops a home on which no step of the run has begun. Returns true if there was one. */
  leaveUnused(runId: string, workspace: string): boolean {
    const { byWorkspace } = this.#runs.get(runId) ?? {}
    return byWorkspace?.get(workspace)?.used === false && byWorkspace.delete(workspace)
  }

  /** Notes that the runner has a workspace of the run. Returns false if the runner's tenant has no such open run. */
  found(runId: string, { tenant, key }: Runner): boolean {
    const run = this.#runs.get(runId)
    if (run?.tenant !== tenant) return false
    run.seen.add(key)
    return true
  }

  /** Forgets the run and returns the runners it has been on. */
  take(runId: string): Iterable<RunnerKey> {
    const seen = this.#runs.get(runId)?.seen ?? []
    this.#runs.delete(runId)
    return seen
  }
}
