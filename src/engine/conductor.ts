import type { GivenInput } from '../contract/agent.ts'
import type { EventOf, NewEvent, RunEvent } from '../contract/events.ts'
import { attemptId } from '../contract/ids.ts'
import type { RunSpec } from '../contract/run.ts'
import type { Reason } from '../contract/status.ts'
import { approvalAnswers } from './approvals.ts'
import { type ChildStart, openChildren, type ParentRun } from './child.ts'
import { ChildCancels } from './child-cancels.ts'
import type { GroupMember } from './concurrency-groups.ts'
import type { Decided } from './decide-all.ts'
import type { EngineFace } from './face.ts'
import { instanceOf } from './find-in-state.ts'
import { HostedAttempts } from './hosted-attempts.ts'
import { addressInput, type InputAddress } from './inputs.ts'
import type { Plan } from './plan.ts'
import { runEnded } from './refusals.ts'
import { RunLoop, type RunPorts } from './run-loop.ts'
import type { RunState } from './state.ts'

export interface ConductorPorts extends RunPorts {
  /** After each commit. */
  committed(conductor: Conductor, events: readonly RunEvent[]): void
  startChild(conductor: Conductor, child: ChildStart): void
  cancelChild(runId: string, force: boolean): void
}

/** One run that is conducted here: what may be asked of it, and what it has going on in the world. */
export class Conductor implements ParentRun, GroupMember {
  readonly spec: RunSpec
  readonly plan: Plan
  readonly state: RunState
  readonly #ports: ConductorPorts
  readonly #loop: RunLoop
  readonly #attempts: HostedAttempts
  readonly #childCancels: ChildCancels

  /** A new run; or one taken up again, with the events of its log. */
  constructor(ports: ConductorPorts, spec: RunSpec, plan: Plan, log: readonly RunEvent[] = []) {
    this.#ports = ports
    this.#loop = new RunLoop(
      {
        ...ports,
        committed: (events) => ports.committed(this, events),
        effectsOf: (decided) => this.#effectsOf(decided),
        brokenOff: () => this.#endAll('internal'),
      },
      spec,
      plan,
      log,
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

  /** Its turn has come; nothing happens where it was canceled meanwhile. */
  start(): Promise<void> {
    return this.state.status === 'queued' ? this.#loop.input([{ type: 'run.started' }]) : this.#loop.flush()
  }

  /** Picks up what the log holds open: attempts and children. */
  async resume(): Promise<void> {
    // Listed first: what begins while the outputs are looked up is no matter of taking up.
    const children = openChildren(this.state)
    await this.#attempts.takeUp()
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

  /** Throws as `approvalAnswers`. */
  async answer(answer: Parameters<EngineFace['answer']>[1]): Promise<void> {
    await this.#loop.input(approvalAnswers(this.spec.run_id, this.state, answer))
  }

  /** Gives an input to the attempt that takes it; answers its id. Throws as `addressInput`. */
  async give(given: GivenInput, to: InputAddress): Promise<string> {
    if (this.#loop.ended) throw runEnded(this.spec.run_id, this.state.status)
    const { attempt, input, known } = addressInput(this.spec.run_id, this.state, given, to)
    if (known) await this.#loop.flush()
    else await this.#loop.input([{ type: 'input.given', attempt: attempt.number, input, by: to.by }])
    if (!known && !this.#loop.closed)
      this.#ports.host.input?.(attemptId(this.spec.run_id, attempt.number), input)
    return input.input_id
  }

  async childFinished(end: Omit<EventOf<'child.finished'>, 'seq' | 'time' | 'type'>): Promise<void> {
    const { instance } = instanceOf(this.state, end)
    if (instance.status === 'waiting') await this.#loop.input([{ type: 'child.finished', ...end }])
  }

  /** As `ParentRun.canceledChild`. */
  canceledChild(runId: string): boolean | undefined {
    return this.#childCancels.get(runId)
  }

  /** As `RunLoop.notifyFailed`. */
  notifyFailed(error: string): Promise<void> {
    return this.#loop.notifyFailed(error)
  }

  /** The run is given up: what was placed for it, or runs, is ended. */
  abandon(): void {
    this.#loop.close()
    this.#attempts.giveUp()
    this.#endAll('canceled')()
  }

  /** Stops conducting; what runs is left to its host. Twice is once. */
  async close(): Promise<void> {
    this.#loop.close()
    this.#attempts.close()
    await this.#loop.flush().catch(() => {})
  }

  /** Returns what is to be done in the world once it is committed. */
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

  /** Returns what ends all that is open now. */
  #endAll(reason: Reason): () => void {
    const children = openChildren(this.state)
    return () => {
      this.#attempts.endAll(reason)
      this.#childCancels.endAll(children)
    }
  }
}
