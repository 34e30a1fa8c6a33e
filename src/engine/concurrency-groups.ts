import type { Conductor } from './conductor.ts'
import { fillText, lookupIn } from './file/template.ts'
import { Gate } from './gate.ts'

/** The places of runs in the concurrency groups that their workflows name. */
export class ConcurrencyGroups {
  readonly #gate = new Gate()
  readonly #conductor: (runId: string) => Conductor | undefined

  constructor(conductor: (runId: string) => Conductor | undefined) {
    this.#conductor = conductor
  }

  /** Undefined: it may run. Otherwise why it waits; it is started when its turn comes. `running`: it runs already. */
  enter(conductor: Conductor, running: boolean): string | undefined {
    const { concurrency } = conductor.plan.workflow
    if (!concurrency) return undefined
    const { run_id, vars, tenant, parent } = conductor.spec
    const group = fillText(concurrency.group, lookupIn(vars))
    const name = `${tenant}/${group}`
    // A sub-workflow shares the place of the run that waits for it, or they would wait for each other.
    for (let above = parent; above; above = this.#conductor(above.run_id)?.spec.parent)
      if (this.#gate.has(name, above.run_id)) return undefined
    const start = () => void conductor.start().catch(() => {})
    const full = this.#gate.enter(name, concurrency.limit, run_id, running, start)
    return (
      full &&
      `concurrency group "${group}" runs ${full.inside} of ${concurrency.limit}; ${full.before} wait before`
    )
  }

  /** The run has ended, or is not conducted here any more. */
  leave(runId: string): void {
    this.#gate.leave(runId)
  }
}
