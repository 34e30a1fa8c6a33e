/** On which runner a run works, so that its steps share one workspace. Hosts with equal needs share one. */
export class Homes {
  readonly #runs = new Map<string, { byNeed: Map<string, string>; seen: Set<string> }>()

  of(runId: string, need: string): string | undefined {
    return this.#runs.get(runId)?.byNeed.get(need)
  }

  set(runId: string, need: string, runner: string): void {
    const run = this.#runs.get(runId) ?? { byNeed: new Map<string, string>(), seen: new Set<string>() }
    this.#runs.set(runId, run)
    run.byNeed.set(need, runner)
    run.seen.add(runner)
  }

  /** Forgets the run; answers the runners it has been on. */
  take(runId: string): Iterable<string> {
    const seen = this.#runs.get(runId)?.seen ?? []
    this.#runs.delete(runId)
    return seen
  }
}
