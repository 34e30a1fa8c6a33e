import { messageOf } from '../contract/errors.ts'
import { attemptId, splitAttemptId } from '../contract/ids.ts'
import type { Reason } from '../contract/status.ts'
import { AttemptWatch } from './attempt-watch.ts'
import type { RunOutput } from './output-quota.ts'
import type { Recorded } from './record.ts'
import type { RunLoop, RunPorts } from './run-loop.ts'
import { attemptSpec, requirementsOf } from './spec.ts'
import { keptBytes } from './state.ts'

/** The attempts that one run has at its host, and who listens to each. */
export class HostedAttempts {
  readonly #loop: RunLoop
  readonly #ports: RunPorts
  readonly #watches = new Map<number, AttemptWatch>()
  /** The output that all of them together may put out; undefined: anything. */
  readonly #output: RunOutput | undefined
  #closed = false

  constructor(loop: RunLoop, ports: RunPorts) {
    this.#loop = loop
    this.#ports = ports
    this.#output = ports.outputQuota?.ofRun(loop.spec)
  }

  /** Once it is committed. */
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

  /** Picks up those that the log holds open. */
  async takeUp(): Promise<void> {
    const { plan, state, names } = this.#loop
    const open = state.attempts.filter((attempt) => !attempt.end)
    for (const attempt of state.attempts) if (attempt.end) this.#output?.count(keptBytes(attempt))
    const taken = open.map((attempt) => {
      const spec = attemptSpec(plan, state, names, plan[attempt.phase][attempt.index]!, attempt)
      this.#ports.outputs.begin(spec)
      return { attempt, spec, watch: this.#watch(attempt.number, spec.step, spec.host) }
    })
    // What was never handed out has no output: nothing is looked up for it.
    const lengths = await Promise.all(
      taken.map(({ attempt, watch }) => (attempt.epoch > 0 ? watch.recover(attempt.streams) : {})),
    )
    if (this.#closed) return
    this.#rememberRunners()
    for (const [index, { attempt, spec, watch }] of taken.entries()) {
      const { epoch, runner, storage_id, started, reports, cancel, talk } = attempt
      const placement = epoch > 0 ? { runner, storage_id, epoch } : undefined
      const known = { started, streams: lengths[index]!, reports, ...(talk && { inputs: talk.untaken }) }
      this.#ports.host.resume(spec, placement, known, watch)
      if (cancel) this.#ports.host.cancel(spec.attempt_id, cancel, state.cancel?.force)
    }
  }

  cancel(number: number, reason: Reason, force?: boolean): void {
    this.#ports.host.cancel(attemptId(this.#loop.spec.run_id, number), reason, force)
  }

  /** Ends by force all that have not ended. */
  endAll(reason: Reason): void {
    for (const { number, end } of this.#loop.state.attempts) if (!end) this.cancel(number, reason, true)
  }

  /** Leaves what runs to its host; nothing more is heard of it. */
  close(): void {
    this.#closed = true
    for (const watch of this.#watches.values()) watch.close()
  }

  /** As `close`, for a run that is given up: its host is to let go of them. */
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
