import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { AttemptProgress } from '../../contract/protocol.ts'
import type { Log } from '../../platform/log.ts'
import type { Attempts, HeldAttempt } from '../ports.ts'

/** Limit for runs in one frame; a later link names the rest, as runs are forgotten. */
const MAX_RUNS = 10_000

/** Records the commands that have reached an attempt. */
interface ReceivedMarks {
  /** Shortest grace of a cancel. */
  graceMs?: number
  inputs: Set<string>
}

/** Gives access to the runner's attempts, even if a link breaks while they are started or released. */
export class AttemptGateway {
  readonly #attempts: Attempts
  readonly #log: Log
  readonly #starting = new Map<string, { epoch: number; held: Promise<HeldAttempt> }>()
  readonly #releasing = new Map<string, Promise<void>>()
  readonly #dropping = new Set<Promise<void>>()
  readonly #received = new WeakMap<HeldAttempt, ReceivedMarks>()

  constructor(attempts: Attempts, log: Log) {
    this.#attempts = attempts
    this.#log = log
  }

  all(): HeldAttempt[] {
    return this.#attempts.all().filter((held) => !this.#releasing.has(held.spec.attempt_id))
  }

  /** Tells whether an attempt still runs here. */
  get running(): boolean {
    return this.all().some(({ ended }) => !ended)
  }

  /** Returns the runs whose workspace is here. */
  runs(): string[] {
    return this.#attempts.runs().slice(0, MAX_RUNS)
  }

  /** Starts an attempt. Idempotent, even during the start. An older epoch of it is dropped first. */
  async start(
    spec: AttemptSpec,
    epoch: number,
    secrets?: Readonly<Record<string, string>>,
  ): Promise<HeldAttempt> {
    const id = spec.attempt_id
    const other = this.#starting.get(id)
    if (other?.epoch === epoch) return other.held
    const held = this.#startAfter(spec, epoch, secrets, other?.held)
    this.#starting.set(id, { epoch, held })
    try {
      const taken = await held
      const about = { level: 'debug', run_id: spec.run_id, attempt_id: id } as const
      this.#log(`Accepted attempt ${id} of step "${spec.step}".`, about)
      return taken
    } finally {
      if (this.#starting.get(id)?.held === held) this.#starting.delete(id)
    }
  }

  cancel(id: string, epoch: number, graceMs: number, reason: string): void {
    void this.#find(id, epoch).then((held) => {
      if (!held) return
      const received = this.#receivedOf(held)
      // A repeated cancel is not an order to expedite.
      if (received.graceMs !== undefined && received.graceMs <= graceMs) return
      received.graceMs = graceMs
      held.cancel(graceMs, reason)
    })
  }

  /** Passes an input on; an attempt that takes no inputs ignores it. */
  input(id: string, epoch: number, input: AttemptInput): void {
    void this.#find(id, epoch).then((held) => {
      if (!held) return
      this.#receivedOf(held).inputs.add(input.input_id)
      held.input?.(input)
    })
  }

  /** Returns the commands that have reached the attempt, in the form of `progress`. */
  received(held: HeldAttempt): Pick<AttemptProgress, 'cancel_grace_ms' | 'inputs'> {
    const { graceMs, inputs } = this.#receivedOf(held)
    if (inputs.size > 0)
      for (const report of held.reports) if (report.type === 'input_taken') inputs.delete(report.input_id)
    return {
      ...(graceMs !== undefined && { cancel_grace_ms: graceMs }),
      ...(inputs.size > 0 && { inputs: [...inputs] }),
    }
  }

  /** Forgets the attempt; stops it first if it still runs. */
  release(id: string, epoch: number): void {
    const dropping = this.#find(id, epoch)
      .then((held) => held && this.#release(held))
      .finally(() => this.#dropping.delete(dropping))
    this.#dropping.add(dropping)
  }

  /** Resolves when everything that was to be released is. */
  async released(): Promise<void> {
    await Promise.all(this.#dropping)
  }

  async forgetRun(runId: string): Promise<void> {
    await Promise.all([...this.#dropping, ...this.#releasing.values()])
    try {
      await this.#attempts.forgetRun(runId)
    } catch (error) {
      this.#log(`The workspace of ${runId} could not be deleted: ${messageOf(error)}`, {
        level: 'warn',
        run_id: runId,
      })
    }
  }

  async #startAfter(
    spec: AttemptSpec,
    epoch: number,
    secrets: Readonly<Record<string, string>> | undefined,
    other: Promise<HeldAttempt> | undefined,
  ): Promise<HeldAttempt> {
    await other?.catch(() => {})
    const id = spec.attempt_id
    const there = this.#attempts.get(id)
    if (there && there.epoch > epoch)
      throw new ErrandError('conflict', `${id} already runs here with the newer epoch ${there.epoch}.`)
    if (there && there.epoch < epoch) await this.#release(there)
    await this.#releasing.get(id)
    return this.#attempts.start(spec, epoch, secrets)
  }

  async #find(id: string, epoch: number): Promise<HeldAttempt | undefined> {
    const starting = this.#starting.get(id)
    if (starting?.epoch === epoch) return starting.held.catch(() => undefined)
    const held = this.#attempts.get(id)
    return held?.epoch === epoch ? held : undefined
  }

  #receivedOf(held: HeldAttempt): ReceivedMarks {
    const received = this.#received.get(held) ?? { inputs: new Set() }
    this.#received.set(held, received)
    return received
  }

  #release(held: HeldAttempt): Promise<void> {
    const id = held.spec.attempt_id
    const running = this.#releasing.get(id)
    if (running) return running
    const releasing = held
      .release()
      .catch((error) =>
        this.#log(`${id} could not be released: ${messageOf(error)}`, { level: 'warn', attempt_id: id }),
      )
      .finally(() => this.#releasing.delete(id))
    this.#releasing.set(id, releasing)
    return releasing
  }
}
