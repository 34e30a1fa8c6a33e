import { resolve } from 'node:path'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { messageOf } from '../../contract/errors.ts'
import { randomText } from '../../contract/ids.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import type { ArtifactKeeper } from '../artifacts/artifact-keeper.ts'
import type { Attempt } from '../attempts/attempt.ts'
import type { Cause } from '../attempts/verdict.ts'
import type { ActionRegistry } from '../ports.ts'
import type { Boxes } from '../sandbox/boxes.ts'
import { deliver, HeldDelivery } from './delivery.ts'
import { LocalAttempts } from './local-attempts.ts'

export interface LocalHostOptions {
  registry: ActionRegistry
  /** Limit for attempts that run at once (default 64). */
  limit?: number
  /** Folder where commands run (default: this process's folder). */
  cwd?: string
  /** Time in ms between SIGTERM and SIGKILL (default 5 s). */
  graceMs?: number
  /** Runs the steps that are agent sessions; absent if there are none here. */
  sessions?: StepHost
  /** Identifies, with an attempt's id, its processes and temporary folders on this machine (default: random). */
  key?: string
  /** Provides the values of the secrets that steps name. */
  secrets?: SecretSource
  /** Boxes of this machine, for steps that request one; absent if there are none. */
  boxes?: () => Promise<Boxes>
  /** Stores the files that steps request; if absent, they are not stored. */
  artifacts?: () => Promise<ArtifactKeeper>
}

interface Work {
  stop(cause: Cause, graceMs: number): void
  done: Promise<void>
}

/** Runs attempts as children of this process; they end with it. */
export class LocalHost implements StepHost {
  readonly #registry: ActionRegistry
  readonly #sessions: StepHost | undefined
  readonly #attempts: LocalAttempts
  readonly #graceMs: number
  readonly #queue: LocalQueue
  readonly #running = new Map<string, Work>()
  readonly #stop = new AbortController()

  constructor(options: LocalHostOptions) {
    const {
      registry,
      limit = 64,
      cwd = process.cwd(),
      graceMs = 5_000,
      sessions,
      secrets,
      boxes,
      artifacts,
    } = options
    const key = options.key ?? randomText(26)
    this.#registry = registry
    this.#sessions = sessions
    this.#graceMs = graceMs
    this.#attempts = new LocalAttempts({
      registry,
      cwd: resolve(cwd),
      graceMs,
      key,
      secrets,
      boxes,
      artifacts,
    })
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

  /**
   * Resumes an attempt after a restart. Nothing outlives this process, so an attempt that had begun is lost, and any
   * other begins now.
   */
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
    const message = 'It ran in a process that has ended.'
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
      if (stopped === undefined) attempt.begin()
      else {
        attempt.journal.keepCause(stopped)
        await attempt.finish({ type: 'stopped' })
      }
      await new HeldDelivery(attempt, sink, { reports: 0 }, this.#stop.signal, 'ends').run()
    }
    const stop: Work['stop'] = (cause, graceMs) => {
      stopped ??= cause
      begun?.stop(cause, graceMs)
    }
    const made = this.#attempts.make({ spec, epoch, sink })
    const done = (made instanceof Promise ? made.then(begin) : begin(made))
      .catch((error: unknown) => {
        const message = messageOf(error)
        return this.#report(sink, { type: 'ended', outcome: 'failed', reason: 'internal', message }, epoch)
      })
      .then(() => {
        this.#running.delete(spec.attempt_id)
        this.#queue.startNext()
      })
    this.#running.set(spec.attempt_id, { stop, done })
  }

  #report(sink: AttemptSink, report: AttemptReport, epoch: number): Promise<unknown> {
    return deliver(() => sink.report(report, epoch), this.#stop.signal)
  }
}

interface LocalQueueOptions {
  /** Limit for attempts that run at once. */
  limit: number
  /** Returns the number of attempts that run now. */
  running(): number
  /** Runs the attempt whose turn it is, immediately, so that it counts as running. */
  run(spec: AttemptSpec, epoch: number, sink: AttemptSink): void
  /** Reports that an attempt was canceled before it ran. */
  canceled(sink: AttemptSink, reason: Reason, epoch: number): Promise<unknown>
  /** Aborted when nothing may begin any more. */
  signal: AbortSignal
}

interface Queued {
  spec: AttemptSpec
  sink: AttemptSink
}

/** Epoch of every attempt: here each one is handed out once. */
const EPOCH = 1

/**
 * Tracks which attempts have a place on this machine, and which wait for one, in order. A queued attempt leaves the
 * queue when a place is free (`#assigning`), and runs once the engine has committed that. A cancellation removes it
 * from wherever it is.
 */
class LocalQueue {
  readonly #options: LocalQueueOptions
  /** Attempts with a place that they have not taken yet. */
  readonly #placed = new Set<string>()
  readonly #queued = new Map<string, Queued>()
  /** Attempts taken from the queue while the engine commits that, with the reason if one was canceled meanwhile. */
  readonly #assigning = new Map<string, Reason | undefined>()

  constructor(options: LocalQueueOptions) {
    this.#options = options
  }

  place({ attempt_id }: AttemptSpec): Placement | { waiting: string } {
    if (this.#queued.size > 0 || this.#full())
      return { waiting: `this machine already runs ${this.#options.limit} steps, which is its limit` }
    this.#placed.add(attempt_id)
    return { epoch: EPOCH }
  }

  /** Gives up the place held for an attempt. */
  leave(attemptId: string): void {
    this.#placed.delete(attemptId)
  }

  /** Queues an attempt without a place; it runs when its turn comes. */
  add(spec: AttemptSpec, sink: AttemptSink): void {
    this.#queued.set(spec.attempt_id, { spec, sink })
    this.startNext()
  }

  /** Cancels an attempt; if it has not begun to run, it never does. */
  cancel(attemptId: string, reason: Reason): void {
    const queued = this.#queued.get(attemptId)
    if (queued !== undefined) {
      this.#queued.delete(attemptId)
      void this.#options.canceled(queued.sink, reason, 0)
    }
    if (this.#assigning.has(attemptId)) this.#assigning.set(attemptId, reason)
    if (this.#placed.delete(attemptId)) this.startNext()
  }

  /** Starts waiting attempts while there are free places. */
  startNext(): void {
    for (const [id, queued] of this.#queued) {
      if (this.#full()) return
      this.#queued.delete(id)
      void this.#assign(queued)
    }
  }

  /** Clears the queue, so that no waiting attempt begins. */
  clear(): void {
    this.#queued.clear()
  }

  #full(): boolean {
    const { running, limit } = this.#options
    return this.#placed.size + this.#assigning.size + running() >= limit
  }

  async #assign({ spec, sink }: Queued): Promise<void> {
    const { signal, run, canceled } = this.#options
    const id = spec.attempt_id
    this.#assigning.set(id, undefined)
    const isAccepted = await deliver(() => sink.assigned({ epoch: EPOCH }), signal)
    const reason = this.#assigning.get(id)
    this.#assigning.delete(id)
    if (isAccepted === true && reason === undefined && !signal.aborted) return run(spec, EPOCH, sink)
    if (reason !== undefined) await canceled(sink, reason, EPOCH)
    this.startNext()
  }
}
