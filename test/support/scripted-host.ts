import type { AttemptEnd, AttemptSpec } from '../../src/contract/attempt.ts'
import type { Reason } from '../../src/contract/status.ts'
import type { AttemptSink, Placement, StepHost } from '../../src/engine/ports.ts'

/** Says how a scripted attempt ends and what it writes before. With `hold`, it ends only when the test says so. */
export type Script = 'success' | 'failed' | 'hold' | (Partial<AttemptEnd> & { writes?: string | Buffer })

export interface Held {
  spec: AttemptSpec
  sink: AttemptSink
  placement: Placement | undefined
}

/**
 * A stand-in for a machine. Each attempt does what the script says, and everything that the engine requested is
 * recorded.
 */
export class ScriptedHost implements StepHost {
  /** The attempts in the order they began. */
  readonly begun: AttemptSpec[] = []
  readonly resumed: { spec: AttemptSpec; known: Parameters<StepHost['resume']>[2]; placement?: Placement }[] =
    []
  readonly canceled: { id: string; reason: Reason; force: boolean }[] = []
  readonly endedRuns: string[] = []
  readonly remembered: unknown[] = []
  /** The attempts that hold capacity. */
  readonly placed = new Set<string>()
  readonly held = new Map<string, Held>()
  script: (spec: AttemptSpec) => Script
  /** If set, returns the reason for which an attempt waits instead of being placed. */
  full: ((spec: AttemptSpec) => string | undefined) | undefined
  /** Whether a canceled attempt ends by itself. */
  obeys = true

  constructor(script: (spec: AttemptSpec) => Script = () => 'success') {
    this.script = script
  }

  /** Lists the attempts that began, as `step`, followed by `@host` unless the host is `local`. */
  get ran(): string[] {
    return this.begun.map(({ step, host }) => (host === 'local' ? step : `${step}@${host}`))
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    const waiting = this.full?.(spec)
    if (waiting !== undefined) return { waiting }
    this.placed.add(spec.attempt_id)
    return { runner: 'scripted', storage_id: 'storage', epoch: 1 }
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    this.begun.push(spec)
    const script = placement ? this.script(spec) : 'hold'
    this.held.set(spec.attempt_id, { spec, sink, placement })
    if (script !== 'hold') void this.end(spec.attempt_id, script)
  }

  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): void {
    this.resumed.push({ spec, known, placement })
    this.held.set(spec.attempt_id, { spec, sink, placement })
  }

  cancel(id: string, reason: Reason, force = false): void {
    this.canceled.push({ id, reason, force })
    this.placed.delete(id)
    if (this.obeys && this.held.has(id)) void this.end(id, { outcome: 'canceled', reason })
  }

  runEnded(runId: string): void {
    this.endedRuns.push(runId)
  }

  remember(...entries: unknown[]): void {
    this.remembered.push(entries)
  }

  async close(): Promise<void> {}

  /** Returns the held attempt of a step. */
  of(step: string, host = 'local'): Held {
    const found = [...this.held.values()].find(({ spec }) => spec.step === step && spec.host === host)
    if (!found) throw new Error(`No attempt of step ${step} on ${host} is held.`)
    return found
  }

  /** Ends a held attempt. Resolves when the engine has committed the end. */
  async end(id: string, script: Script): Promise<void> {
    const { sink, placement } = this.held.get(id)!
    this.held.delete(id)
    this.placed.delete(id)
    const { writes, ...end } =
      typeof script === 'string' ? { outcome: script as AttemptEnd['outcome'], writes: undefined } : script
    const reason = end.outcome === 'failed' ? 'exit_code' : undefined
    if (writes !== undefined) await sink.output('stdout', 0, Buffer.from(writes))
    await sink.report({ type: 'ended', outcome: 'success', reason, ...end }, placement?.epoch ?? 0)
  }

  /** Ends the held attempt of a step. */
  endOf(step: string, script: Script = 'success', host = 'local'): Promise<void> {
    return this.end(this.of(step, host).spec.attempt_id, script)
  }
}
