import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../../src/contract/attempt.ts'
import type { Attempts, HeldAttempt, OutputPart } from '../../../src/runner/ports.ts'
import { partAfter } from '../runner/part-after.ts'

/** Imitates an attempt: it does what the test says, without a process. */
export class ScriptedAttempt implements HeldAttempt {
  readonly reports: AttemptReport[] = []
  readonly cancels: { graceMs: number; reason: string }[] = []
  readonly spec: AttemptSpec
  readonly epoch: number
  readonly #streams = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  readonly #listeners = new Set<() => void>()
  readonly #released: () => void

  constructor(spec: AttemptSpec, epoch: number, released: () => void) {
    this.spec = spec
    this.epoch = epoch
    this.#released = released
  }

  get ended(): boolean {
    return this.reports.at(-1)?.type === 'ended'
  }

  /** Returns how many are waiting for a change. */
  get watchers(): number {
    return this.#listeners.size
  }

  write(stream: StreamName, bytes: Buffer | string): void {
    this.#streams[stream] = Buffer.concat([this.#streams[stream], Buffer.from(bytes)])
    this.#changed()
  }

  report(report: AttemptReport): void {
    this.reports.push(report)
    this.#changed()
  }

  end(end: Omit<AttemptEnd, 'type'>): void {
    this.report({ type: 'ended', ...end })
  }

  length(stream: StreamName): number {
    return this.#streams[stream].length
  }

  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    return partAfter(known, { stdout: this.length('stdout'), stderr: this.length('stderr') })
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return this.#streams[stream].subarray(offset, offset + max)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  cancel(graceMs: number, reason: string): void {
    this.cancels.push({ graceMs, reason })
  }

  endAsLost(): void {}

  async release(): Promise<void> {
    this.#released()
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Imitates a runner's attempts, which only do what `onStart` tells them. */
export class ScriptedAttempts implements Attempts {
  readonly storageId = 'storage'
  readonly held = new Map<string, ScriptedAttempt>()
  readonly starts: AttemptSpec[] = []
  readonly forgotten: string[] = []
  readonly #onStart: (attempt: ScriptedAttempt) => void

  constructor(onStart: (attempt: ScriptedAttempt) => void = () => {}) {
    this.#onStart = onStart
  }

  async recover(): Promise<HeldAttempt[]> {
    return this.all()
  }

  async start(spec: AttemptSpec, epoch: number): Promise<HeldAttempt> {
    const id = spec.attempt_id
    const there = this.held.get(id)
    if (there !== undefined) return there
    const attempt = new ScriptedAttempt(spec, epoch, () => this.held.delete(id))
    this.held.set(id, attempt)
    this.starts.push(spec)
    attempt.report({ type: 'started', pid: 1 })
    this.#onStart(attempt)
    return attempt
  }

  get(attemptId: string): ScriptedAttempt | undefined {
    return this.held.get(attemptId)
  }

  all(): ScriptedAttempt[] {
    return [...this.held.values()]
  }

  runs(): string[] {
    return []
  }

  async forgetRun(runId: string): Promise<void> {
    this.forgotten.push(runId)
  }

  async close(): Promise<void> {}
}
