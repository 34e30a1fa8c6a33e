import type { RunSpec } from '../contract/run.ts'
import { fillText, lookupIn } from './file/template.ts'
import { type ConcurrencyGate, Gate } from './gate.ts'
import type { Plan } from './plan.ts'

/** A run that may be in a concurrency group. */
export interface GroupMember {
  readonly spec: RunSpec
  readonly plan: Plan
  /** Its turn has come. */
  start(): Promise<void>
}

/** The places of runs in the concurrency groups that their workflows name. */
export class ConcurrencyGroups {
  readonly #conductor: (runId: string) => GroupMember | undefined
  readonly #makeGate: () => ConcurrencyGate | Promise<ConcurrencyGate>
  #gate: ConcurrencyGate | undefined

  constructor(
    conductor: (runId: string) => GroupMember | undefined,
    makeGate: () => ConcurrencyGate | Promise<ConcurrencyGate> = () => new Gate(),
  ) {
    this.#conductor = conductor
    this.#makeGate = makeGate
  }

  /** To be awaited before a run enters that is in a group. */
  async open(): Promise<void> {
    const gate = this.#gate ?? (await this.#makeGate())
    this.#gate ??= gate
  }

  /** Undefined: it may run. Otherwise why it waits; it is started when its turn comes. `running`: it runs already. */
  enter(conductor: GroupMember, running: boolean): string | undefined {
    const { concurrency } = conductor.plan.workflow
    const gate = this.#gate
    if (!concurrency || !gate) return undefined
    const { run_id, vars, tenant, parent } = conductor.spec
    const group = fillText(concurrency.group, lookupIn(vars))
    const name = `${tenant}/${group}`
    // A sub-workflow shares the place of the run that waits for it, or they would wait for each other.
    for (let above = parent; above; above = this.#conductor(above.run_id)?.spec.parent)
      if (gate.has(name, above.run_id)) return undefined
    const start = () => void conductor.start().catch(() => {})
    const full = gate.enter(name, concurrency.limit, run_id, running, start)
    if (!full) return undefined
    const holders = full.holders ? ` (${full.holders})` : ''
    return `concurrency group "${group}" runs ${full.inside} of ${concurrency.limit}${holders}; ${full.before} wait before`
  }

  /** The run has ended, or is not conducted here any more. */
  leave(runId: string): void {
    this.#gate?.leave(runId)
  }

  /** Nothing is conducted here any more. */
  close(): void {
    this.#gate?.close()
  }
}
