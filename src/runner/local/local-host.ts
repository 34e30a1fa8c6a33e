import { resolve } from 'node:path'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { randomText } from '../../contract/random-text.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import type { Attempt } from '../attempts/attempt.ts'
import type { Cause } from '../attempts/outcome.ts'
import type { ActionRegistry } from '../ports.ts'
import { deliver } from './delivery.ts'
import { HeldDelivery } from './held-delivery.ts'
import { LocalAttempts } from './local-attempts.ts'
import { LocalQueue } from './local-queue.ts'

export interface LocalHostOptions {
  registry: ActionRegistry
  /** How many attempts run at once (default 64). */
  limit?: number
  /** Where commands run (default: this process's folder). */
  cwd?: string
  /** Between SIGTERM and SIGKILL (default 5 s). */
  graceMs?: number
  /** Carries out the steps that are agents' sessions; absent: there are none here. */
  sessions?: StepHost
  /** With an attempt's id it names its processes and temporary folders among all of this machine (default: by chance). */
  key?: string
  /** Has the values of the secrets that steps name. */
  secrets?: SecretSource
}

interface Work {
  stop(cause: Cause, graceMs: number): void
  done: Promise<void>
}

/** Carries out attempts as children of this process; what runs ends with it. */
export class LocalHost implements StepHost {
  readonly #registry: ActionRegistry
  readonly #sessions: StepHost | undefined
  readonly #attempts: LocalAttempts
  readonly #graceMs: number
  readonly #queue: LocalQueue
  readonly #running = new Map<string, Work>()
  readonly #stop = new AbortController()

  constructor(options: LocalHostOptions) {
    const { registry, limit = 64, cwd = process.cwd(), graceMs = 5_000, sessions, secrets } = options
    const key = options.key ?? randomText(26)
    this.#registry = registry
    this.#sessions = sessions
    this.#graceMs = graceMs
    this.#attempts = new LocalAttempts({ registry, cwd: resolve(cwd), graceMs, key, secrets })
    this.#queue = new LocalQueue({
      limit,
      running: () => this.#running.size,
      run: (spec, epoch, sink) => this.#run(spec, epoch, sink),
      canceled: (sink, reason, epoch) =>
        this.#report(sink, { type: 'ended', outcome: 'canceled', reason }, epoch),
      signal: this.#stop.signal,
    })
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    return this.#isSession(spec) ? this.#sessions!.place(spec) : this.#queue.place(spec)
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    if (this.#isSession(spec)) return void this.#sessions!.start(spec, placement, sink)
    this.#queue.leave(spec.attempt_id)
    if (this.#stop.signal.aborted) return
    if (placement === undefined) this.#queue.add(spec, sink)
    else this.#run(spec, placement.epoch, sink)
  }

  /** Nothing here outlives its process: what had begun is lost, what had not is begun. */
  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Omit<Parameters<StepHost['resume']>[2], 'streams'> & {
      streams?: Partial<Record<StreamName, number>>
    },
    sink: AttemptSink,
  ): void {
    if (this.#isSession(spec))
      return void this.#sessions!.resume(spec, placement, { streams: {}, ...known }, sink)
    if (placement === undefined && !known.started) {
      this.start(spec, undefined, sink)
      return
    }
    const message = 'It ran within a process that has ended.'
    void this.#report(
      sink,
      { type: 'ended', outcome: 'interrupted', reason: 'lost', message },
      placement?.epoch ?? 0,
    )
  }

  input(attemptId: string, input: AttemptInput): void {
    this.#sessions?.input?.(attemptId, input)
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    this.#sessions?.cancel(attemptId, reason, force)
    this.#queue.cancel(attemptId, reason)
    this.#running.get(attemptId)?.stop({ type: 'canceled', reason }, force ? 0 : this.#graceMs)
  }

  runEnded(runId: string): void {
    this.#sessions?.runEnded(runId)
  }

  async close(): Promise<void> {
    this.#queue.clear()
    const works = [...this.#running.values()]
    for (const work of works) work.stop({ type: 'closed' }, this.#graceMs)
    this.#stop.abort()
    await Promise.all([...works.map((work) => work.done), this.#sessions?.close()])
    await this.#attempts.close()
  }

  #isSession({ action }: AttemptSpec): boolean {
    return this.#sessions !== undefined && this.#registry[action]?.kind === 'agent'
  }

  #run(spec: AttemptSpec, epoch: number, sink: AttemptSink): void {
    let stopped: Cause | undefined
    let begun: Attempt | undefined
    const begin = async (attempt: Attempt): Promise<void> => {
      begun = attempt
      const told = new HeldDelivery(attempt, sink, { reports: 0 }, this.#stop.signal, 'ends').run()
      if (stopped === undefined) attempt.begin()
      else {
        attempt.journal.keepCause(stopped)
        await attempt.finish({ type: 'stopped' })
      }
      await told
    }
    const stop: Work['stop'] = (cause, graceMs) => {
      stopped ??= cause
      begun?.stop(cause, graceMs)
    }
    const made = this.#attempts.make({ spec, epoch, sink })
    const done = (made instanceof Promise ? made.then(begin) : begin(made)).then(() => {
      this.#running.delete(spec.attempt_id)
      this.#queue.startNext()
    })
    this.#running.set(spec.attempt_id, { stop, done })
  }

  #report(sink: AttemptSink, report: AttemptReport, epoch: number): Promise<unknown> {
    return deliver(() => sink.report(report, epoch), this.#stop.signal)
  }
}
