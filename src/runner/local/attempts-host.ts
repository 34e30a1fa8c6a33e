import { join } from 'node:path'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { messageOf } from '../../contract/errors.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import type { Attempts, HeldAttempt } from '../ports.ts'
import { deliver, HeldDelivery } from './delivery.ts'

export interface AttemptsHostOptions {
  /** Folder that holds a subfolder for each run. */
  root: string
  /** Opens the attempts in the folder. */
  open(folder: string): Promise<Attempts>
  /** Time in ms between SIGTERM and SIGKILL (default 5 s). */
  graceMs?: number
  /** Provides the values of the secrets that steps name. */
  secrets?: SecretSource
}

/** Runs attempts on this machine in folders of their own, so that a restarted program can adopt them. */
export class AttemptsHost implements StepHost {
  readonly #options: AttemptsHostOptions
  readonly #graceMs: number
  /** Attempts by run, including those an earlier process left. */
  readonly #runs = new Map<string, Promise<Attempts>>()
  readonly #closing = new Set<Promise<void>>()
  readonly #stop = new AbortController()

  constructor(options: AttemptsHostOptions) {
    this.#options = options
    this.#graceMs = options.graceMs ?? 5_000
  }

  place(): Placement {
    return { epoch: 1 }
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    void this.#start(spec, placement?.epoch ?? 1, sink)
  }

  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): void {
    void this.#resume(spec, placement?.epoch ?? 1, known, sink)
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    void this.#find(attemptId).then((held) => held?.cancel(force ? 0 : this.#graceMs, reason))
  }

  input(attemptId: string, input: AttemptInput): void {
    void this.#find(attemptId).then((held) => held?.input?.(input))
  }

  runEnded(runId: string): void {
    const closing = this.#close(runId).finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#closing, ...[...this.#runs.keys()].map((runId) => this.#close(runId))])
  }

  async #start(spec: AttemptSpec, epoch: number, sink: AttemptSink): Promise<void> {
    try {
      const attempts = await this.#run(spec.run_id)
      if (this.#stop.signal.aborted) return
      const secrets = spec.secrets && (await this.#options.secrets?.reveal(spec))
      await this.#deliver(await attempts.start(spec, epoch, secrets), sink, { reports: 0 })
    } catch (error) {
      const message = messageOf(error)
      const end = { type: 'ended', outcome: 'failed', reason: 'start_failed', message } as const
      await deliver(() => sink.report(end, epoch), this.#stop.signal)
    }
  }

  async #resume(
    spec: AttemptSpec,
    epoch: number,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): Promise<void> {
    const attempts = await this.#run(spec.run_id).catch(() => undefined)
    const held = attempts?.get(spec.attempt_id)
    if (!held && !known.started) return await this.#start(spec, epoch, sink)
    if (!held) {
      const message = 'This machine no longer has this attempt.'
      const end = { type: 'ended', outcome: 'interrupted', reason: 'lost', message } as const
      return void (await deliver(() => sink.report(end, epoch), this.#stop.signal))
    }
    for (const input of known.inputs ?? []) held.input?.(input)
    await this.#deliver(held, sink, { ...known.streams, reports: known.reports ?? (known.started ? 1 : 0) })
  }

  async #deliver(
    held: HeldAttempt,
    sink: AttemptSink,
    from: ConstructorParameters<typeof HeldDelivery>[2],
  ): Promise<void> {
    await new HeldDelivery(held, sink, from, this.#stop.signal).run()
    if (!this.#stop.signal.aborted) await held.release().catch(() => undefined)
  }

  #run(runId: string): Promise<Attempts> {
    const there = this.#runs.get(runId)
    if (there) return there
    const opened = this.#options.open(join(this.#options.root, runId)).then(async (attempts) => {
      await attempts.recover()
      return attempts
    })
    opened.catch(() => undefined)
    this.#runs.set(runId, opened)
    return opened
  }

  async #find(attemptId: string): Promise<HeldAttempt | undefined> {
    const attempts = await this.#runs.get(splitAttemptId(attemptId).runId)?.catch(() => undefined)
    // An earlier waiter for the same promise has started it by then.
    await new Promise((resolve) => setImmediate(resolve))
    return attempts?.get(attemptId)
  }

  async #close(runId: string): Promise<void> {
    const opened = this.#runs.get(runId)
    this.#runs.delete(runId)
    const attempts = await opened?.catch(() => undefined)
    if (!attempts) return
    for (const held of attempts.all()) held.cancel(this.#graceMs, 'interrupted')
    await Promise.all(
      attempts.all().map((held) => ended(held).then(() => held.release().catch(() => undefined))),
    )
    await attempts.close()
    // This module loads the large build of zod, which most commands with such a host never need.
    const { removeAttemptFolders } = await import('../attempts/attempt-folder.ts')
    try {
      removeAttemptFolders(join(this.#options.root, runId))
    } catch {
      // Something still writes there: the folder stays, unused.
    }
  }
}

async function ended(held: HeldAttempt): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = held.onChange(() => held.ended && resolve())
  if (held.ended) resolve()
  await promise
  stop()
}
