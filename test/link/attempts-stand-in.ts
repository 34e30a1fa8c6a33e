import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptInput } from '../../src/contract/agent.ts'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../src/contract/attempt.ts'
import type { Attempts, HeldAttempt, OutputPart } from '../../src/runner/ports.ts'
import { partAfter } from '../support/runner/part-after.ts'

export interface Script {
  /** The output, chunk by chunk, with a pause after each. */
  chunks: { stream: StreamName; bytes: Buffer; pauseMs?: number }[]
  phases?: number
  /** Continues until it is canceled. */
  forever?: boolean
}

/**
 * Stands in for the attempts on a machine's disk. They are in memory; a test keeps them over restarts of the link by
 * reusing the object.
 */
export class AttemptsStandIn implements Attempts {
  storageId = 'storage'
  readonly held = new Map<string, HeldStandIn>()
  /** Every attempt that began, with its epoch, in order. */
  readonly begun: string[] = []
  readonly released: string[] = []
  readonly forgotten: string[] = []
  readonly workspaces = new Set<string>()
  /** If set, `start` fails with this message. */
  rejectWith: string | undefined
  readonly #script: (spec: AttemptSpec) => Script

  constructor(script: (spec: AttemptSpec) => Script) {
    this.#script = script
  }

  async recover(): Promise<HeldAttempt[]> {
    return this.all()
  }

  async start(spec: AttemptSpec, epoch: number): Promise<HeldAttempt> {
    if (this.rejectWith !== undefined) throw new Error(this.rejectWith)
    const there = this.held.get(spec.attempt_id)
    if (there?.epoch === epoch) return there
    this.begun.push(`${spec.attempt_id}/${epoch}`)
    this.workspaces.add(spec.run_id)
    const held = new HeldStandIn(spec, epoch, () => {
      this.held.delete(spec.attempt_id)
      this.released.push(spec.attempt_id)
    })
    this.held.set(spec.attempt_id, held)
    void held.play(this.#script(spec))
    return held
  }

  get(attemptId: string): HeldAttempt | undefined {
    return this.held.get(attemptId)
  }

  all(): HeldAttempt[] {
    return [...this.held.values()]
  }

  runs(): string[] {
    return [...this.workspaces]
  }

  async forgetRun(runId: string): Promise<void> {
    this.workspaces.delete(runId)
    this.forgotten.push(runId)
  }

  async close(): Promise<void> {
    for (const held of this.held.values()) held.cancel()
  }
}

export class HeldStandIn implements HeldAttempt {
  readonly spec: AttemptSpec
  readonly epoch: number
  readonly reports: AttemptReport[] = []
  readonly inputs: string[] = []
  readonly #bytes: Record<StreamName, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  readonly #listeners = new Set<() => void>()
  readonly #stop = new AbortController()
  readonly #released: () => void

  constructor(spec: AttemptSpec, epoch: number, released: () => void) {
    this.spec = spec
    this.epoch = epoch
    this.#released = released
  }

  get ended(): boolean {
    return this.reports.at(-1)?.type === 'ended'
  }

  async play(script: Script): Promise<void> {
    this.#report({ type: 'started', pid: 1 })
    for (let i = 0; i < (script.phases ?? 0); i++) this.#report({ type: 'phase', phase: `phase ${i}` })
    for (const { stream, bytes, pauseMs } of script.chunks) {
      if (this.#stop.signal.aborted) break
      this.#bytes[stream] = Buffer.concat([this.#bytes[stream], bytes])
      this.#changed()
      if (pauseMs !== undefined)
        // Sleeps: a process that prints slowly.
        await sleep(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
    if (script.forever && !this.#stop.signal.aborted)
      await new Promise((resolve) => this.#stop.signal.addEventListener('abort', resolve))
    const { aborted, reason } = this.#stop.signal
    this.#report({
      type: 'ended',
      ...(aborted ? reason : { outcome: 'success', exit_code: 0 }),
      streams: { stdout: endOf(this.#bytes.stdout), stderr: endOf(this.#bytes.stderr) },
    } as AttemptEnd)
  }

  length(stream: StreamName): number {
    return this.#bytes[stream].length
  }

  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    return partAfter(known, { stdout: this.length('stdout'), stderr: this.length('stderr') })
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    await new Promise((resolve) => setImmediate(resolve))
    return this.#bytes[stream].subarray(offset, offset + max)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  input({ input_id }: AttemptInput): void {
    if (this.inputs.includes(input_id)) return
    this.inputs.push(input_id)
    this.#report({ type: 'input_taken', input_id })
  }

  cancel(_graceMs = 0, reason = 'canceled'): void {
    this.#stop.abort({ outcome: 'canceled', reason })
  }

  endAsLost(_graceMs: number, message: string): void {
    this.#stop.abort({ outcome: 'failed', reason: 'lost', message })
  }

  async release(): Promise<void> {
    this.cancel()
    await new Promise((resolve) => setImmediate(resolve))
    this.#released()
  }

  #report(report: AttemptReport): void {
    this.reports.push(report)
    this.#changed()
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

const endOf = (bytes: Buffer) => ({
  length: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
})
