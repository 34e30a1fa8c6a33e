import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { BotLive } from '../../contract/bots/bot.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource } from '../../engine/ports.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import { Inbox, type Marks } from './inbox.ts'
import { type MadeGroups, needIn } from './made-groups.ts'
import { DEFAULT_GROUP, type GroupBox, type Need, needKey, type RunnerKey, workspaceKey } from './matching.ts'
import type { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'
import type { UserQueue } from './wait-queues.ts'

export const NOTHING_KEPT: Marks = { reports: 0, stdout: 0, stderr: 0 }

export interface AssignmentsOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  /** Called for one that takes no slot and no place in the queue any more. */
  drop(assignment: Assignment): void
  log: Log
  /** Absent: there are none. */
  secrets?: SecretSource
  /** Groups whose runners are made; absent: there are none. */
  made?: MadeGroups
  signal: AbortSignal
}

/** All attempts that the fleet was given and that have not ended, and how they end. */
export class Assignments {
  readonly #options: AssignmentsOptions
  readonly #assignments = new Map<string, Assignment>()
  /** Runs that are set aside, and the runners that may have something of them. */
  readonly #aside = new Map<string, Set<RunnerKey>>()

  constructor(options: AssignmentsOptions) {
    this.#options = options
  }

  add(spec: AttemptSpec, placement: Placement | undefined, from: Marks, sink: AttemptSink): Assignment {
    const need = needIn(spec, this.#options.made)
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

  /** Lets go of all attempts of the run. What their runners have of them they keep, since nobody answers them. */
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

  /** The run is set aside no more. Answers the runners that may have something of it. */
  takeBack(runId: string): Iterable<RunnerKey> {
    const runners = this.#aside.get(runId) ?? []
    this.#aside.delete(runId)
    return runners
  }

  /** Whether the run is set aside, of which this runner has something. */
  isAside(runId: string, runner: RunnerKey): boolean {
    const runners = this.#aside.get(runId)
    runners?.add(runner)
    return runners !== undefined
  }

  /** Nothing was heard of it under its new epoch. */
  nextEpoch(assignment: Assignment): void {
    assignment.inbox = this.#inbox(assignment, NOTHING_KEPT)
  }

  /** How many wait for a runner, by group. */
  waiting(): Map<string, number> {
    const waiting = new Map<string, number>()
    for (const { stage, spec } of this.#assignments.values()) {
      if (stage.type !== 'waiting') continue
      const group = spec.requires.group ?? DEFAULT_GROUP
      waiting.set(group, (waiting.get(group) ?? 0) + 1)
    }
    return waiting
  }

  /** Those of a tenant that wait for a runner, in the order in which they came, and why. */
  whyWaiting(tenant: string): { spec: AttemptSpec; why: string }[] {
    const found: { spec: AttemptSpec; why: string; arrival: number }[] = []
    for (const { stage, spec, arrival, need } of this.#assignments.values())
      if (stage.type === 'waiting' && need.need.tenant === tenant)
        found.push({ spec, why: stage.why, arrival })
    return found.sort((a, b) => a.arrival - b.arrival)
  }

  /** Those that wait in the queue. */
  queued(): Assignment[] {
    return [...this.#assignments.values()].filter(({ queue }) => queue !== undefined)
  }

  givenTo(runner: Runner): Assignment[] {
    const held = [...runner.held.keys()].flatMap((id) => this.#assignments.get(id) ?? [])
    return held.filter(({ stage }) => stage.type === 'placed' && stage.runner === runner.key)
  }

  /** Ends it from here, however long the store takes. A runner that still has it is told when it next speaks of it. */
  settle(assignment: Assignment, end: AttemptEnd): void {
    if (assignment.stage.type === 'ending' || isAside(assignment)) return
    this.#options.drop(assignment)
    assignment.stage = { type: 'ending' }
    void this.#tell(assignment, end)
  }

  /** As `settle`, for one that vanished: where it was canceled before, that is what it ends with. */
  settleVanished(assignment: Assignment, end: AttemptEnd): void {
    const { cancel } = assignment
    this.settle(assignment, cancel ? { ...canceled(cancel.reason), message: end.message } : end)
  }

  failed(assignment: Assignment, error: unknown): void {
    if (isAside(assignment)) return
    const { spec } = assignment
    const why = error instanceof Error ? error.message : error
    this.#options.log(
      `What runners tell of ${spec.attempt_id} could not be kept; it is tried again: ${why}`,
      {
        level: 'error',
        run_id: spec.run_id,
        attempt_id: spec.attempt_id,
      },
    )
  }

  async #tell(assignment: Assignment, end: AttemptEnd): Promise<void> {
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

  /** The runner's report of the end is committed. */
  #ended(assignment: Assignment): void {
    this.#linkOf(assignment)?.acks.release(assignment)
    this.#options.drop(assignment)
    this.remove(assignment)
  }
}

export const canceled = (reason: Reason): AttemptEnd => ({ type: 'ended', outcome: 'canceled', reason })

type Stage =
  | { type: 'waiting'; why: string }
  /** A runner is chosen, which is being committed. */
  | { type: 'assigning'; runner: RunnerKey }
  | { type: 'placed'; runner: RunnerKey }
  /** The engine wants it no more; a cancel or the run's end follows. */
  | { type: 'parked' }
  /** Its end, made here, is being committed. */
  | { type: 'ending' }
  /** Its run was set aside: it is no concern of the fleet any more. */
  | { type: 'aside' }

/**
 * Which process of the runner was last sent `start`, with which storage. `unknown`: a hub process before this one may have
 * sent it, to the storage that it was placed on or to none that is still there.
 */
export type Sent =
  | { type: 'never' }
  | { type: 'unknown'; storage: string | undefined }
  | { type: 'to'; boot: string; storage: string | undefined }

/** An attempt, as the fleet has it. */
export interface Assignment {
  readonly spec: AttemptSpec
  readonly sink: AttemptSink
  /** `key` is equal for equal needs. */
  need: { need: Need; key: string }
  /** Equal for the steps of its run that share its workspace. */
  readonly workspace: string
  /** Grows from one to the next that came. */
  arrival: number
  /** By the steady clock: since then it waits, or has waited last. */
  waitsSinceMs: number
  /** Where it waits. */
  queue: UserQueue | undefined
  /** The last under which it was handed out; 0: never. */
  epoch: number
  /** The demands of the group that it was placed in, as its run's log has them. */
  box: GroupBox
  stage: Stage
  inbox: Inbox
  sent: Sent
  /** The runner has said that it has it. */
  begun: boolean
  /** The last that its runner has told of the bot that it is. */
  live?: BotLive
  cancel?: { reason: Reason; force: boolean }
  /** Given and not taken yet, by id, oldest first. */
  readonly inputs: Map<string, AttemptInput>
  /** Runners that rejected it, and what is said of each. */
  readonly rejections: Map<RunnerKey, string>
}

export const boxOf = ({ isolation, network }: Partial<Placement> = {}): GroupBox => ({ isolation, network })

/** Whether its run was set aside while something of it was waited for. */
export const isAside = ({ stage }: Assignment): boolean => stage.type === 'aside'

/** The runner it is with, or will be when that is committed. */
export function runnerOf({ stage }: Assignment): RunnerKey | undefined {
  return stage.type === 'assigning' || stage.type === 'placed' ? stage.runner : undefined
}
