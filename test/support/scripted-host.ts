import type { AttemptEnd, AttemptSpec } from '../../src/contract/attempt.ts'
import type { Reason } from '../../src/contract/status.ts'
import type { AttemptSink, Placement, StepHost } from '../../src/engine/ports.ts'

/** How a scripted attempt goes: how it ends, after what it wrote; `hold`: not before the test says so. */
export type Script = 'success' | 'failed' | 'hold' | (Partial<AttemptEnd> & { writes?: string | Buffer })

export interface Held {
  spec: AttemptSpec
  sink: AttemptSink
  placement: Placement | undefined
}

/** A stand-in for a machine: each attempt goes as the script says, and all that the engine asked for is kept. */
export class ScriptedHost implements StepHost {
  /** In the order they were begun. */
  readonly begun: AttemptSpec[] = []
  readonly resumed: { spec: AttemptSpec; known: Parameters<StepHost['resume']>[2]; placement?: Placement }[] =
    []
  readonly canceled: { id: string; reason: Reason; force: boolean }[] = []
  readonly endedRuns: string[] = []
  readonly remembered: unknown[] = []
  /** Attempts that hold capacity. */
  readonly placed = new Set<string>()
  readonly held = new Map<string, Held>()
  script: (spec: AttemptSpec) => Script
  /** Where set, an attempt waits for this reason instead of being placed. */
  full: ((spec: AttemptSpec) => string | undefined) | undefined
  /** Whether a canceled attempt ends by itself. */
  obeys = true

  constructor(script: (spec: AttemptSpec) => Script = () => 'success') {
    this.script = script
  }

  /** What was begun, as `step`, with `@host` where that is not `local`. */
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

  remember(...told: unknown[]): void {
    this.remembered.push(told)
  }

  async close(): Promise<void> {}

  /** The held attempt of a step. */
  of(step: string, host = 'local'): Held {
    const found = [...this.held.values()].find(({ spec }) => spec.step === step && spec.host === host)
    if (!found) throw new Error(`No attempt of step ${step} on ${host} is held.`)
    return found
  }

  /** Ends a held attempt; resolves when the engine has committed it. */
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

  /** As `end`, by the step's name. */
  endOf(step: string, script: Script = 'success', host = 'local'): Promise<void> {
    return this.end(this.of(step, host).spec.attempt_id, script)
  }
}
