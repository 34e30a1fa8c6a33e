/** On which runner a run works, so that its steps share one workspace. Hosts with equal needs share one. */
export class Homes {
  readonly #runs = new Map<string, { byWorkspace: Map<string, string>; seen: Set<string> }>()

  of(runId: string, workspace: string): string | undefined {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)
  }

  /** True: it was another one, or none. */
  set(runId: string, workspace: string, runner: string): boolean {
    const run = this.#runs.get(runId) ?? { byWorkspace: new Map<string, string>(), seen: new Set<string>() }
    this.#runs.set(runId, run)
    const changed = run.byWorkspace.get(workspace) !== runner
    run.byWorkspace.set(workspace, runner)
    run.seen.add(runner)
    return changed
  }

  /** The runner has a workspace of the run. False: the run is not open here. */
  found(runId: string, runner: string): boolean {
    const run = this.#runs.get(runId)
    run?.seen.add(runner)
    return run !== undefined
  }

  /** Forgets the run; answers the runners it has been on. */
  take(runId: string): Iterable<string> {
    const seen = this.#runs.get(runId)?.seen ?? []
    this.#runs.delete(runId)
    return seen
  }
}
