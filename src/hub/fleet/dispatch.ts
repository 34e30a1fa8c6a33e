import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import type { Placement } from '../../engine/ports.ts'
import { Backoff } from '../../platform/time.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import { type Assignment, type Assignments, boxOf, canceled, isAside, runnerOf } from './assignments.ts'
import { type Demand, demandOf, type MadeGroups, needIn, type WaitingDemand } from './made-groups.ts'
import { givesBox, groupOf, needKey, needOf, type RunnerKey, withGroupBox, workspaceKey } from './matching.ts'
import { Queue } from './queue.ts'
import type { Runner } from './roster.ts'
import { commandStart } from './runner-commands.ts'
import { FairShare, type User } from './wait-queues.ts'

/** How long what waits is told nothing, and is passed over. */
export interface Patience {
  /** How often what waits is passed over for what is smaller, before a runner is kept for it. Default 10. */
  patience?: number
  /** The longest that a runner is kept so. Default 600,000. */
  keepMs?: number
  /** Those that wait are told at most so often that the reason has changed. Default 500. */
  tellEveryMs?: number
}

export interface DispatchOptions extends Patience {
  runners: ReadonlyMap<RunnerKey, Runner>
  assignments: Assignments
  /** Groups whose runners are made; absent: there are none. */
  made?: MadeGroups
  signal: AbortSignal
}

/** Who gets which attempt: what is free, the queue of those that wait, and why they do. */
export class Dispatch {
  readonly affinity = new RunAffinity()
  readonly #options: DispatchOptions
  readonly #fairShare = new FairShare()
  readonly #queue: Queue
  /** The sink wants these no more: a cancel or the end of the run takes them away. */
  readonly #parked = new Set<Assignment>()
  /** Placed or told to wait, while their creation is committed. */
  readonly #reserved = new Map<string, { arrival: number; waiting?: string }>()
  /** The attempts that hold room on a runner, and whose they are. */
  readonly #places = new Map<string, { runner: Runner; user: User }>()
  #arrivals = 0

  constructor(options: DispatchOptions) {
    const { runners, assignments, signal, patience = 10, keepMs = 600_000, tellEveryMs = 500 } = options
    this.#options = options
    this.#queue = new Queue({
      ...{ runners, signal, patience, keepMs, tellEveryMs, fairShare: this.#fairShare },
      told: () => this.changed(),
      whyElse: (need) => {
        const demand = demandOf(need)
        return demand && options.made?.why(groupOf(need.requires)!, demand)
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

  /** Called where a runner has come, gone, or has more or less to do. */
  changed: () => void = () => {}

  #told(): void {
    this.changed()
    this.#options.made?.changed()
  }

  /** Groups make their runners now, or do so no more: what waits has other needs. */
  groupsChanged(): void {
    for (const assignment of this.#options.assignments.queued()) {
      const need = needIn(assignment.spec, this.#options.made)
      const key = needKey(need)
      if (key === assignment.need.key) continue
      this.#queue.leave(assignment)
      assignment.need = { need, key }
      this.#queue.enter(assignment)
    }
    this.#options.made?.changed()
  }

  /** Those that wait are told again why, soon. */
  retell(): void {
    this.#queue.retell()
  }

  /** As the queue's. */
  demands(group: string): WaitingDemand[] {
    return this.#queue.demands(group)
  }

  /** Ends all that waits for the run's runner of the group, as none will ever take it: without a message, in the words of why it waits. */
  giveUp(group: string, demand: Demand, end: Pick<AttemptEnd, 'reason' | 'message'>): void {
    for (const assignment of this.#queue.waitingFor(group, demand)) {
      const why = assignment.stage.type === 'waiting' ? assignment.stage.why : undefined
      this.#options.assignments.settle(assignment, {
        ...{ type: 'ended', outcome: 'failed', reason: end.reason, message: end.message ?? why },
      })
    }
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.size
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    const need = needIn(spec, this.#options.made)
    const arrival = ++this.#arrivals
    const home = this.affinity.of(spec.run_id, workspaceKey(spec.requires))
    const stand = { need, key: needKey(need), home, not: new Set<RunnerKey>() }
    const choice = this.#queue.choose(stand, { user: this.#fairShare.of(spec), arrival })
    if (choice.type === 'runner') {
      this.#reserved.set(spec.attempt_id, { arrival })
      this.#hold(spec, choice.key)
      return { ...this.#placeOn(choice.key), epoch: 1 }
    }
    const waiting = choice.type === 'wait' ? choice.why : 'no runner takes it'
    this.#reserved.set(spec.attempt_id, { arrival, waiting })
    return { waiting }
  }

  /** Takes a place back that was not used. */
  unplace(attemptId: string): boolean {
    if (!this.#reserved.delete(attemptId)) return false
    this.#free(attemptId)
    return true
  }

  /** Takes back all that was reserved for the run. */
  unplaceRun(runId: string): void {
    for (const id of [...this.#reserved.keys()]) if (splitAttemptId(id).runId === runId) this.unplace(id)
  }

  /** After `place`; or, for one taken up again, instead of it. */
  begin(assignment: Assignment, runner: RunnerKey | undefined): void {
    const { attempt_id } = assignment.spec
    const told = this.#reserved.get(attempt_id)
    this.#reserved.delete(attempt_id)
    assignment.arrival = told?.arrival ?? ++this.#arrivals
    if (runner === undefined) {
      this.#enqueue(assignment, told?.waiting ?? '')
      return
    }
    this.#place(assignment, runner)
    this.#handOrQueue(assignment, runner)
  }

  /** Counts the attempt as one of that runner, as the log of a run taken up again says. */
  hold(assignment: Assignment, runner: RunnerKey): void {
    assignment.arrival = ++this.#arrivals
    this.#place(assignment, runner)
  }

  /** Its runner has it. */
  begun(assignment: Assignment): void {
    assignment.begun = true
    this.affinity.use(assignment.spec.run_id, assignment.workspace)
  }

  /** Its runner does not take it: another one may, unless it was canceled. */
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

  /** Gives what an attempt held, which is over, to the next. */
  drop(assignment: Assignment): void {
    if (this.#queue.leave(assignment)) this.#told()
    this.#parked.delete(assignment)
    if (runnerOf(assignment) !== undefined) this.#free(assignment.spec.attempt_id)
  }

  /** The run is over. Answers what it left. */
  takeParked(runId: string): Assignment[] {
    const left = [...this.#parked].filter((assignment) => assignment.spec.run_id === runId)
    for (const assignment of left) this.#parked.delete(assignment)
    return left
  }

  /** The runner came, went or changed: places what can be, and tells the others why they wait. */
  rosterChanged(runner: Runner): void {
    this.#queue.rosterChanged(runner)
    this.#told()
  }

  #place(assignment: Assignment, runner: RunnerKey): void {
    assignment.stage = { type: 'placed', runner }
    this.#hold(assignment.spec, runner)
    // The place may have been kept before it was given.
    this.changed()
  }

  #enqueue(assignment: Assignment, told: string): void {
    assignment.stage = { type: 'waiting', why: told }
    assignment.waitsSinceMs = performance.now()
    this.#queue.enter(assignment)
    this.#told()
  }

  /** Nothing happens where it is held already. */
  #hold(spec: AttemptSpec, key: RunnerKey): void {
    const runner = this.#options.runners.get(key)
    if (!runner || this.#places.has(spec.attempt_id)) return
    const user = this.#fairShare.took(spec)
    this.#places.set(spec.attempt_id, { runner, user })
    runner.take(spec)
    const workspace = workspaceKey(spec.requires)
    if (runner.run === null)
      this.#options.made?.bound(runner.tenant, runner.id, { run_id: spec.run_id, workspace })
    this.#told()
    if (this.affinity.set(spec, workspace, key)) this.#queue.rehome(spec.run_id, workspace)
  }

  #free(attemptId: string): void {
    const place = this.#places.get(attemptId)
    if (!place) return
    this.#places.delete(attemptId)
    place.runner.give(attemptId)
    this.#told()
    this.#fairShare.gave(place.user)
    this.#queue.freed(place.runner)
  }

  async #assign(assignment: Assignment, runner: RunnerKey): Promise<void> {
    const { signal, assignments } = this.#options
    const backoff = new Backoff({ firstMs: 100, maxMs: 10_000 })
    const placement = { ...this.#placeOn(runner), epoch: assignment.epoch + 1 }
    let wanted: boolean
    for (;;)
      try {
        wanted = await assignment.sink.assigned(placement)
        break
      } catch (error) {
        assignments.failed(assignment, error)
        if (!isAside(assignment)) await sleep(backoff.next(), undefined, { signal }).catch(() => {})
        if (signal.aborted || isAside(assignment)) return
      }
    if (signal.aborted || assignment.stage.type !== 'assigning') return
    if (wanted) {
      assignment.epoch = placement.epoch
      assignment.box = boxOf(placement)
      assignments.nextEpoch(assignment)
    }
    if (assignment.cancel) assignments.settle(assignment, canceled(assignment.cancel.reason))
    else if (wanted) {
      assignment.stage = { type: 'placed', runner }
      this.changed()
      this.#handOrQueue(assignment, runner)
    } else this.#park(assignment)
  }

  /** As the log has it, where the run says whose runner it is. */
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

  /** The runner may have gone while the placement was committed; then it was never sent, and any other may have it. */
  #handOrQueue(assignment: Assignment, key: RunnerKey): void {
    const runner = this.#options.runners.get(key)
    const { spec, workspace } = assignment
    const goes =
      runner?.status === 'connected' || (runner?.finishing && this.affinity.isUsed(spec.run_id, workspace))
    if (runner && goes) this.startOn(assignment, runner)
    else this.again(assignment)
  }

  /** Sends it to its runner, which is connected. One that came back and cannot give the box any more never gets it. */
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

interface Places {
  tenant: string
  byWorkspace: Map<string, Home>
  /** On which it has been. */
  seen: Set<RunnerKey>
}

/** On which runner a run works, so that its steps share one workspace. Hosts with equal needs share one. */
class RunAffinity {
  readonly #runs = new Map<string, Places>()

  of(runId: string, workspace: string): RunnerKey | undefined {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.runner
  }

  /** True: it was another one, or none. */
  set(
    { run_id, tenant = DEFAULT_TENANT }: Pick<AttemptSpec, 'run_id' | 'tenant'>,
    workspace: string,
    runner: RunnerKey,
  ): boolean {
    const run: Places = this.#runs.get(run_id) ?? { tenant, byWorkspace: new Map(), seen: new Set() }
    this.#runs.set(run_id, run)
    const changed = run.byWorkspace.get(workspace)?.runner !== runner
    if (changed) run.byWorkspace.set(workspace, { runner, used: false })
    run.seen.add(runner)
    return changed
  }

  /** A step has begun there, so that there may be files. */
  use(runId: string, workspace: string): void {
    const home = this.#runs.get(runId)?.byWorkspace.get(workspace)
    if (home) home.used = true
  }

  isUsed(runId: string, workspace: string): boolean {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.used === true
  }

  /** Nothing of the run waits for a runner on which none of it has begun. True: it has no home any more. */
  leaveUnused(runId: string, workspace: string): boolean {
    const { byWorkspace } = this.#runs.get(runId) ?? {}
    return byWorkspace?.get(workspace)?.used === false && byWorkspace.delete(workspace)
  }

  /** The runner says that it has a workspace of the run. False: its tenant has no such run open. */
  found(runId: string, { tenant, key }: Runner): boolean {
    const run = this.#runs.get(runId)
    if (run?.tenant !== tenant) return false
    run.seen.add(key)
    return true
  }

  /** Forgets the run; answers the runners it has been on. */
  take(runId: string): Iterable<RunnerKey> {
    const seen = this.#runs.get(runId)?.seen ?? []
    this.#runs.delete(runId)
    return seen
  }
}
