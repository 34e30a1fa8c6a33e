import type { AttemptSpec } from '../../contract/attempt.ts'
import { needKey } from './placement.ts'

type Placed = Pick<AttemptSpec, 'run_id' | 'requires'>

/** On which runner a run works, so that its steps share one workspace. Hosts with equal requirements share one. */
export class Homes {
  readonly #runs = new Map<string, { byNeed: Map<string, string>; seen: Set<string> }>()

  of({ run_id, requires }: Placed): string | undefined {
    return this.#runs.get(run_id)?.byNeed.get(needKey(requires))
  }

  set({ run_id, requires }: Placed, runner: string): void {
    const run = this.#runs.get(run_id) ?? { byNeed: new Map<string, string>(), seen: new Set<string>() }
    this.#runs.set(run_id, run)
    run.byNeed.set(needKey(requires), runner)
    run.seen.add(runner)
  }

  /** Forgets the run; answers the runners it has been on. */
  take(runId: string): Iterable<string> {
    const seen = this.#runs.get(runId)?.seen ?? []
    this.#runs.delete(runId)
    return seen
  }
}
