import type { NewInput } from '../../contract/agent.ts'
import type { RecordedAnswer } from '../../contract/approvers.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { EventOf, NewEvent, RunEvent } from '../../contract/events.ts'
import { attemptId, splitAttemptId } from '../../contract/ids.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { Share } from '../../contract/runs/shares.ts'
import type { Reason } from '../../contract/status.ts'
import { type EngineFace, runEnded, type ShareChange } from '../api.ts'
import { attemptSpec, requirementsOf } from '../core/attempt-spec.ts'
import { type Addressed, addressInput, type InputAddress } from '../core/inputs.ts'
import type { Plan } from '../core/plan.ts'
import type { Recorded } from '../core/record.ts'
import { instanceOf, isSameShare, type RunState, storedBytes } from '../core/state.ts'
import { attemptStatus } from '../core/transitions.ts'
import { AttemptWatch } from './attempt-watch.ts'
import { ChildCancels, type ChildStart, openChildren, type ParentRun } from './child-runs.ts'
import type { GroupMember } from './concurrency-limiter.ts'
import type { RunOutput } from './output-quota.ts'
import { type Decided, RunLoop, type RunPorts, type StoredRun } from './run-loop.ts'

export interface ConductorPorts extends RunPorts {
  /** Called after each commit. */
  committed(conductor: Conductor, events: readonly RunEvent[]): void
  startChild(conductor: Conductor, child: ChildStart): void
  cancelChild(runId: string, force: boolean): void
  /** See `RunLoopPorts.refused`. */
  refused?(conductor: Conductor, error: unknown, committed: Promise<void>): void
}

/** Conducts one run: takes the requests made of it, and manages its attempts and children. */
export class Conductor implements ParentRun, GroupMember {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  readonly #ports: ConductorPorts
  readonly #loop: RunLoop
  readonly #attempts: HostedAttempts
  readonly #childCancels: ChildCancels

  /** Conducts a new run, or one that is resumed from what the store has. */
  constructor(ports: ConductorPorts, spec: RunSpec, plan: Plan, stored: StoredRun = { log: [] }) {
    const { refused } = ports
    this.#ports = ports
    this.#loop = new RunLoop(
      {
        ...ports,
        committed: (events) => ports.committed(this, events),
        effectsOf: (decided) => this.#effectsOf(decided),
        brokenOff: () => this.#endAll('internal'),
        refused: refused && ((...refusal) => refused(this, ...refusal)),
      },
      spec,
      plan,
      stored,
    )
    this.spec = spec
    this.plan = plan
    this.state = this.#loop.state
    this.#attempts = new HostedAttempts(this.#loop, ports)
    this.#childCancels = new ChildCancels((runId, force) => ports.cancelChild(runId, force))
  }

  /** Commits the new run. With `waiting` it stays queued until `start`. */
  async create(waiting: string | undefined): Promise<void> {
    const created: NewEvent = {
      type: 'run.created',
      workflow_name: this.spec.workflow_name,
      vars: this.spec.vars,
    }
    await this.#loop.input([
      created,
      waiting === undefined ? { type: 'run.started' } : { type: 'run.waiting', why: waiting },
    ])
  }

  /** Starts the run when its turn has come; does nothing if it was canceled meanwhile. */
  start(): Promise<void> {
    return this.state.status === 'queued' ? this.#loop.input([{ type: 'run.started' }]) : this.#loop.flush()
  }

  /** Picks up the attempts and children that are open in the log. */
  async resume(): Promise<void> {
    // Listed first: children that begin while the outputs are read need no resuming.
    const children = openChildren(this.state)
    await this.#attempts.resumeAttempts()
    if (this.#loop.closed) return
    for (const child of children) this.#ports.startChild(this, child)
    await this.#loop.input([])
  }

  async cancel(options: { by?: string; message?: string; force: boolean }): Promise<void> {
    if (this.#loop.ended) throw runEnded(this.spec.run_id, this.state.status)
    const { cancel } = this.state
    if (cancel && (cancel.force || !options.force)) return this.#loop.flush()
    await this.#loop.input([{ type: 'run.cancel_requested', ...options }])
    if (options.force) this.#attempts.endAll('canceled')
  }

  /** Shares the run, or stops sharing it. Throws `run_ended`. */
  async share(change: ShareChange): Promise<void> {
    if (this.#loop.ended) throw runEnded(this.spec.run_id, this.state.status)
    await this.#loop.input([sharing(change)])
  }

  /** Answers an approval. Throws as `approvalAnswers`. */
  async answer(...[answer, check]: ApprovalAnswer): Promise<void> {
    await this.#loop.input(approvalAnswers(this.spec.run_id, this.state, answer, check))
  }

  /** Gives an input to the attempt that takes it; returns its id. Throws as `addressInput`. */
  async give(newInput: NewInput, to: InputAddress): Promise<string> {
    if (this.#loop.ended) throw runEnded(this.spec.run_id, this.state.status)
    const { attempt, input, known } = await this.#addressed(newInput, to)
    if (known) await this.#loop.flush()
    else await this.#loop.input([{ type: 'input.given', attempt: attempt.number, input, by: to.by }])
    if (!known && !this.#loop.closed)
      this.#ports.host.input?.(attemptId(this.spec.run_id, attempt.number), input)
    return input.input_id
  }

  /** Addresses an input. A refusal is reported only once its cause, such as an earlier answer, is committed. */
  async #addressed(newInput: NewInput, to: InputAddress): Promise<Addressed> {
    try {
      return addressInput(this.spec.run_id, this.state, newInput, to)
    } catch (error) {
      await this.#loop.flush()
      throw error
    }
  }

  async childFinished(end: Omit<EventOf<'child.finished'>, 'seq' | 'time' | 'type'>): Promise<void> {
    const { instance } = instanceOf(this.state, end)
    if (instance.status === 'waiting') await this.#loop.input([{ type: 'child.finished', ...end }])
  }

  /** Implements `ParentRun.canceledChild`. */
  canceledChild(runId: string): boolean | undefined {
    return this.#childCancels.get(runId)
  }

  /** Stores the text of a notifier's failure, as `RunLoop.notifyFailed`. */
  notifyFailed(error: string): Promise<void> {
    return this.#loop.notifyFailed(error)
  }

  /** Gives the run up: ends what was placed for it, or runs. */
  abandon(): void {
    this.#loop.close()
    this.#attempts.giveUp()
    this.#endAll('canceled')()
  }

  /** Stops conducting; running attempts are left to their host. Idempotent. */
  async close(): Promise<void> {
    this.#loop.close()
    this.#attempts.close()
    await this.#loop.flush().catch(() => {})
  }

  /** Returns the effects of a decision, to run once it is committed. */
  #effectsOf({ intent, recorded: { events, start } }: Decided): (() => void)[] {
    if (start) return [() => this.#attempts.start(start)]
    switch (intent.type) {
      case 'cancel_attempt':
        return [() => this.#attempts.cancel(intent.number, intent.reason, intent.force)]
      case 'start_child':
        return events.flatMap((event) =>
          event.type === 'child.started' ? () => this.#ports.startChild(this, event) : [],
        )
      case 'cancel_child':
        return this.#childCancels.ask(intent.run_id, intent.force)
      default:
        return []
    }
  }

  /** Returns a function that ends everything that is open now. */
  #endAll(reason: Reason): () => void {
    const children = openChildren(this.state)
    return () => {
      this.#attempts.endAll(reason)
      this.#childCancels.endAll(children)
    }
  }
}

/** Most shares of a run: its record stores all of them. */
const MOST_SHARES = 100

/** Makes the event for a change of a run's shares. */
export const sharing = ({ can, ...of }: ShareChange): NewEvent & { type: 'run.shared' | 'run.unshared' } =>
  can === undefined ? { type: 'run.unshared', ...of } : { type: 'run.shared', ...of, can }

/** Reports whether the change makes a difference. Throws `quota_exceeded` when there would be too many shares. */
export function changesShares(
  runId: string,
  shares: readonly Share[] = [],
  { can, ...of }: ShareChange,
): boolean {
  const there = shares.find((share) => isSameShare(share, of))
  if (there !== undefined || can === undefined) return there?.can !== can
  if (shares.length < MOST_SHARES) return true
  throw new ErrandError(
    'quota_exceeded',
    `Run ${runId} is already shared with ${MOST_SHARES} users or roles, which is the limit.`,
    {
      hint: 'Share it with a role instead, or stop sharing it with someone first.',
    },
  )
}

/** An answer, and a check of who may give it, as `EngineFace.answer` takes them. */
export type ApprovalAnswer = Parameters<EngineFace['answer']> extends [string, ...infer Rest] ? Rest : never

/**
 * Makes the events for an answer to a step's questions. Throws `approval_not_pending`, and as `check`; then nothing has
 * changed.
 */
export function approvalAnswers(
  runId: string,
  { main, finally: atTheEnd }: Pick<RunState, 'main' | 'finally'>,
  answer: ApprovalAnswer[0],
  check: ApprovalAnswer[1] = () => {},
): NewEvent[] {
  const waiting = [...main, ...atTheEnd].filter((step) => step.instances.some(({ approval }) => approval))
  const events: NewEvent[] = []
  for (const { name, phase, instances } of waiting)
    for (const [instance, { approval }] of instances.entries())
      if (name === answer.step && approval) {
        check(approval.approvers)
        events.push({ type: 'approval.answered', ...answer, phase, instance })
      }
  if (events.length > 0) return events
  const before = [...main, ...atTheEnd].find(({ name }) => name === answer.step)
  const answered = before?.instances.findLast((instance) => instance.answered)?.answered
  if (answered) throw answeredBefore(runId, answer.step, answered)
  throw new ErrandError(
    'approval_not_pending',
    `Step "${answer.step}" of run ${runId} is not waiting for an approval.`,
    {
      hint:
        waiting.length > 0
          ? `Waiting: ${waiting.map(({ name }) => `"${name}"`).join(', ')}.`
          : 'No step of this run is waiting for an approval.',
    },
  )
}

function answeredBefore(
  runId: string,
  step: string,
  { decision, by, at, comment }: RecordedAnswer,
): ErrandError {
  const done = decision === 'approve' ? 'approved' : 'rejected'
  const who = by === 'timeout' ? 'nobody (it expired)' : (by ?? 'somebody')
  return new ErrandError(
    'approval_not_pending',
    `Step "${step}" of run ${runId} was already ${done} by ${who} at ${at}.`,
    {
      hint: `The first answer counts. See: errand runs show ${runId}`,
      details: { answered_by: by, answer: decision, answered_at: at, comment },
    },
  )
}

/** The attempts that one run has at its host, and the listener of each. */
class HostedAttempts {
  readonly #loop: RunLoop
  readonly #ports: RunPorts
  readonly #watches = new Map<number, AttemptWatch>()
  /** The output that all of them together may produce; undefined: no limit. */
  readonly #output: RunOutput | undefined
  #closed = false

  constructor(loop: RunLoop, ports: RunPorts) {
    this.#loop = loop
    this.#ports = ports
    this.#output = ports.outputQuota?.ofRun(loop.spec)
  }

  /** Starts an attempt once its creation is committed. */
  start({ spec, placement }: NonNullable<Recorded['start']>): void {
    if (this.#closed) return
    const watch = this.#watch(splitAttemptId(spec.attempt_id).number, spec.step, spec.host)
    try {
      this.#ports.outputs.begin(spec)
    } catch (error) {
      this.#ports.host.cancel(spec.attempt_id, 'output_failed', true)
      const message = messageOf(error)
      const end = { type: 'ended', outcome: 'failed', reason: 'output_failed', message } as const
      return void watch.report(end, placement?.epoch ?? 0).catch(() => {})
    }
    this.#ports.host.start(spec, placement, watch)
  }

  /** Picks up the attempts that are open in the log. */
  async resumeAttempts(): Promise<void> {
    const { plan, state, names } = this.#loop
    const open = state.attempts.filter((attempt) => !attempt.end)
    for (const attempt of state.attempts) if (attempt.end) this.#output?.count(storedBytes(attempt))
    const taken = open.map((attempt) => {
      const spec = attemptSpec(plan, state, names, plan[attempt.phase][attempt.index]!, attempt)
      this.#ports.outputs.begin(spec)
      return { attempt, spec, watch: this.#watch(attempt.number, spec.step, spec.host) }
    })
    // An attempt that was never handed out has no output to look up.
    const lengths = await Promise.all(
      taken.map(({ attempt, watch }) => (attempt.epoch > 0 ? watch.recover(attempt.streams) : {})),
    )
    if (this.#closed) return
    this.#rememberRunners()
    for (const [index, { attempt, spec, watch }] of taken.entries()) {
      const { epoch, runner, storage_id, of_group, cancel, talk } = attempt
      const streams = lengths[index]!
      const inputs = talk && { inputs: talk.untaken }
      if (attemptStatus(attempt) === 'waiting') {
        // Its epoch belongs to a machine that did not take the attempt, or no longer has it.
        const known = { started: false, streams, reports: 0, ...(epoch > 0 && { epoch }), ...inputs }
        this.#ports.host.resume(spec, undefined, known, watch)
      } else {
        const { started, reports } = attempt
        const placement = { runner, storage_id, ...of_group, epoch }
        this.#ports.host.resume(spec, placement, { started, streams, reports, ...inputs }, watch)
      }
      if (cancel) this.#ports.host.cancel(spec.attempt_id, cancel, state.cancel?.force)
    }
  }

  cancel(number: number, reason: Reason, force?: boolean): void {
    this.#ports.host.cancel(attemptId(this.#loop.spec.run_id, number), reason, force)
  }

  /** Ends all open attempts by force. */
  endAll(reason: Reason): void {
    for (const { number, end } of this.#loop.state.attempts) if (!end) this.cancel(number, reason, true)
  }

  /** Leaves running attempts to their host and stops listening. */
  close(): void {
    this.#closed = true
    for (const watch of this.#watches.values()) watch.close()
  }

  /** Does as `close`, for a run that is given up: its host must release the attempts. */
  giveUp(): void {
    this.#closed = true
    for (const watch of this.#watches.values()) watch.giveUp()
  }

  #rememberRunners(): void {
    const { plan, state, spec } = this.#loop
    for (const { end, runner, host } of state.attempts)
      if (end && runner !== undefined)
        this.#ports.host.remember?.(
          { run_id: spec.run_id, tenant: spec.tenant, requires: requirementsOf(plan.workflow, host) },
          runner,
        )
  }

  #watch(number: number, step: string, host: string): AttemptWatch {
    const forget = () => this.#watches.delete(number)
    const about = { number, names: { step, host }, output: this.#output }
    const watch = new AttemptWatch(this.#loop, this.#ports, about, forget)
    this.#watches.set(number, watch)
    return watch
  }
}
