import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { BotLive } from '../../contract/bots/bot.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource } from '../../engine/ports.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import { Inbox, type Marks } from './inbox.ts'
import { DEFAULT_GROUP, type GroupBox, type Need, needKey, type RunnerKey, workspaceKey } from './matching.ts'
import { needIn, type ProvisionedGroups } from './provisioned-groups.ts'
import type { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'
import type { UserQueue } from './wait-queues.ts'

export const NOTHING_STORED: Marks = { reports: 0, stdout: 0, stderr: 0 }

export interface AssignmentsOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  /** Called when an attempt no longer takes a slot or a place in the queue. */
  drop(assignment: Assignment): void
  log: Log
  /** Source of secret values; absent when the hub has none. */
  secrets?: SecretSource
  /** Groups with provisioned runners; absent when there are none. */
  provisionedGroups?: ProvisionedGroups
  signal: AbortSignal
}

/** Holds every attempt that the fleet was given and that has not ended, and ends attempts that no runner ends. */
export class Assignments {
  readonly #options: AssignmentsOptions
  readonly #assignments = new Map<string, Assignment>()
  /** Runs that are set aside, each with the runners that may still have something of it. */
  readonly #aside = new Map<string, Set<RunnerKey>>()

  constructor(options: AssignmentsOptions) {
    this.#options = options
  }

  add(spec: AttemptSpec, placement: Placement | undefined, from: Marks, sink: AttemptSink): Assignment {
    const need = needIn(spec, this.#options.provisionedGroups)
    const assignment: Assignment = {
      spec,
      sink,
      need: { need, key: needKey(need) },
      workspace: workspaceKey(spec.requires),
      arrival: 0,
      waitsSinceMs: 0,
      queue: undefined,
      epoch: placement?.epoch ?? 0,
      box: boxOf(placement),
      stage: { type: 'waiting', why: '' },
      inbox: undefined!,
      sent: { type: 'never' },
      begun: false,
      inputs: new Map(),
      rejections: new Map(),
    }
    assignment.inbox = this.#inbox(assignment, from)
    this.#assignments.set(spec.attempt_id, assignment)
    return assignment
  }

  get secrets(): SecretSource | undefined {
    return this.#options.secrets
  }

  get(attemptId: string): Assignment | undefined {
    return this.#assignments.get(attemptId)
  }

  remove(assignment: Assignment): void {
    const { attempt_id } = assignment.spec
    if (this.#assignments.get(attempt_id) === assignment) this.#assignments.delete(attempt_id)
  }

  /** Drops all attempts of the run. Their runners keep what they have of them, because nobody answers them. */
  setAside(runId: string): void {
    const runners = this.#aside.get(runId) ?? new Set()
    this.#aside.set(runId, runners)
    for (const assignment of this.#assignments.values()) {
      if (assignment.spec.run_id !== runId) continue
      const runner = runnerOf(assignment)
      if (runner !== undefined) runners.add(runner)
      this.#options.drop(assignment)
      assignment.stage = { type: 'aside' }
      this.remove(assignment)
    }
  }

  /** Ends the setting aside of the run. Returns the runners that may have something of it. */
  takeBack(runId: string): Iterable<RunnerKey> {
    const runners = this.#aside.get(runId) ?? []
    this.#aside.delete(runId)
    return runners
  }

  /** Reports whether the run is set aside, and if so notes that this runner has something of it. */
  isAside(runId: string, runner: RunnerKey): boolean {
    const runners = this.#aside.get(runId)
    runners?.add(runner)
    return runners !== undefined
  }

  /** Replaces the inbox with an empty one, since nothing has arrived under the new epoch yet. */
  nextEpoch(assignment: Assignment): void {
    assignment.inbox = this.#inbox(assignment, NOTHING_STORED)
  }

  /** Counts the attempts that wait for a runner, by group. */
  waiting(): Map<string, number> {
    const waiting = new Map<string, number>()
    for (const { stage, spec } of this.#assignments.values()) {
      if (stage.type !== 'waiting') continue
      const group = spec.requires.group ?? DEFAULT_GROUP
      waiting.set(group, (waiting.get(group) ?? 0) + 1)
    }
    return waiting
  }

  /** Lists the attempts of a tenant that wait for a runner, in order of arrival, each with the reason. */
  whyWaiting(tenant: string): { spec: AttemptSpec; why: string }[] {
    const found: { spec: AttemptSpec; why: string; arrival: number }[] = []
    for (const { stage, spec, arrival, need } of this.#assignments.values())
      if (stage.type === 'waiting' && need.need.tenant === tenant)
        found.push({ spec, why: stage.why, arrival })
    return found.sort((a, b) => a.arrival - b.arrival)
  }

  /** Lists the attempts that wait in the queue. */
  queued(): Assignment[] {
    return [...this.#assignments.values()].filter(({ queue }) => queue !== undefined)
  }

  assignedTo(runner: Runner): Assignment[] {
    const held = [...runner.held.keys()].flatMap((id) => this.#assignments.get(id) ?? [])
    return held.filter(({ stage }) => stage.type === 'placed' && stage.runner === runner.key)
  }

  /**
   * Ends the attempt from the hub, however long the store takes. A runner that still has it learns so when it next
   * mentions it.
   */
  settle(assignment: Assignment, end: AttemptEnd): void {
    if (assignment.stage.type === 'ending' || isAside(assignment)) return
    this.#options.drop(assignment)
    assignment.stage = { type: 'ending' }
    void this.#reportEnd(assignment, end)
  }

  /** Settles an attempt that has vanished. If it was canceled before, it ends as canceled. */
  settleVanished(assignment: Assignment, end: AttemptEnd): void {
    const { cancel } = assignment
    this.settle(assignment, cancel ? { ...canceled(cancel.reason), message: end.message } : end)
  }

  failed(assignment: Assignment, error: unknown): void {
    if (isAside(assignment)) return
    const { spec } = assignment
    const why = error instanceof Error ? error.message : error
    this.#options.log(`Reports about attempt ${spec.attempt_id} could not be saved; trying again: ${why}`, {
      level: 'error',
      run_id: spec.run_id,
      attempt_id: spec.attempt_id,
    })
  }

  async #reportEnd(assignment: Assignment, end: AttemptEnd): Promise<void> {
    const { signal } = this.#options
    const backoff = new Backoff({ firstMs: 100, maxMs: 10_000 })
    while (!signal.aborted)
      try {
        await assignment.sink.report(end, assignment.epoch)
        this.remove(assignment)
        return
      } catch (error) {
        if (signal.aborted || isAside(assignment)) return
        this.failed(assignment, error)
        await sleep(backoff.next(), undefined, { signal }).catch(() => {})
      }
  }

  #inbox(assignment: Assignment, from: Marks): Inbox {
    return new Inbox({
      sink: assignment.sink,
      epoch: assignment.epoch,
      from,
      ack: (resend) => this.#linkOf(assignment)?.acks.soon(assignment, resend),
      taken: (inputId) => void assignment.inputs.delete(inputId),
      ended: () => this.#ended(assignment),
      failed: (error) => this.failed(assignment, error),
      signal: this.#options.signal,
    })
  }

  #linkOf({ stage }: Assignment): RunnerLink | undefined {
    return stage.type === 'placed' ? this.#options.runners.get(stage.runner)?.link : undefined
  }

  /** Releases the attempt once the end that its runner reported is committed. */
  #ended(assignment: Assignment): void {
    this.#linkOf(assignment)?.acks.release(assignment)
    this.#options.drop(assignment)
    this.remove(assignment)
  }
}

export const canceled = (reason: Reason): AttemptEnd => ({ type: 'ended', outcome: 'canceled', reason })

/**
 * Stage of an attempt in the fleet. `settle` leads from every stage but `aside` to `ending`, and `setAside` leads from
 * every stage to `aside`.
 * - `waiting`: it is in the queue. `assigning` once a runner has room for it.
 * - `assigning`: `placed` once that is committed, or `parked` if the engine no longer wants it.
 * - `placed`: its runner has it or gets it. `waiting` again if the runner does not take it. The attempt is removed once
 *   the end that the runner reports is committed.
 * - `parked`: `ending` with a cancel; the end of the run removes the attempt.
 * - `ending`: the attempt is removed once its end is committed.
 * - `aside`: final.
 */
type Stage =
  | { type: 'waiting'; why: string }
  /** A runner is chosen, and the choice is being committed. */
  | { type: 'assigning'; runner: RunnerKey }
  | { type: 'placed'; runner: RunnerKey }
  /** The engine no longer wants it. A cancel or the end of the run follows. */
  | { type: 'parked' }
  /** The hub ended it, and that end is being committed. */
  | { type: 'ending' }
  /** The run was set aside, so the fleet no longer handles the attempt. */
  | { type: 'aside' }

/**
 * Names the runner process that `start` was last sent to, with its storage. `unknown` means that an earlier hub
 * process may have sent it, either to the storage that the attempt was placed on or to one that no longer exists.
 */
export type Sent =
  | { type: 'never' }
  | { type: 'unknown'; storage: string | undefined }
  | { type: 'to'; boot: string; storage: string | undefined }

/** An attempt as the fleet sees it. */
export interface Assignment {
  readonly spec: AttemptSpec
  readonly sink: AttemptSink
  /** The need, with a `key` that is equal for equal needs. */
  need: { need: Need; key: string }
  /** Equal for all steps of a run that share a workspace. */
  readonly workspace: string
  /** Order of arrival: each new attempt gets a higher number. */
  arrival: number
  /** Start of its current or last wait, in milliseconds of the monotonic clock. */
  waitsSinceMs: number
  /** The queue it waits in, if it waits. */
  queue: UserQueue | undefined
  /** Last epoch under which it was handed out; 0 if it never was. */
  epoch: number
  /** The box that its group demands, as recorded in the log of its run when it was placed. */
  box: GroupBox
  stage: Stage
  inbox: Inbox
  sent: Sent
  /** True once the runner has reported that it has the attempt. */
  begun: boolean
  /** The last state that the runner reported, if the attempt is a bot. */
  live?: BotLive
  cancel?: { reason: Reason; force: boolean }
  /** Inputs that were sent but not yet taken, by id, oldest first. */
  readonly inputs: Map<string, AttemptInput>
  /** Runners that rejected it, each with the reason to show. */
  readonly rejections: Map<RunnerKey, string>
}

export const boxOf = ({ isolation, network }: Partial<Placement> = {}): GroupBox => ({ isolation, network })

/** Reports whether the run was set aside while the caller waited for something of this attempt. */
export const isAside = ({ stage }: Assignment): boolean => stage.type === 'aside'

/** Returns the runner that has the attempt, or will have it once that is committed. */
export function runnerOf({ stage }: Assignment): RunnerKey | undefined {
  return stage.type === 'assigning' || stage.type === 'placed' ? stage.runner : undefined
}
