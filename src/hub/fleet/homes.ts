interface Home {
  runner: string
  used: boolean
}

/** On which runner a run works, so that its steps share one workspace. Hosts with equal needs share one. */
export class Homes {
  readonly #runs = new Map<string, { byWorkspace: Map<string, Home>; seen: Set<string> }>()

  of(runId: string, workspace: string): string | undefined {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.runner
  }

  /** True: it was another one, or none. */
  set(runId: string, workspace: string, runner: string): boolean {
    const run = this.#runs.get(runId) ?? { byWorkspace: new Map<string, Home>(), seen: new Set<string>() }
    this.#runs.set(runId, run)
    const changed = run.byWorkspace.get(workspace)?.runner !== runner
    if (changed) run.byWorkspace.set(workspace, { runner, used: false })
    run.seen.add(runner)
    return changed
  }

  /** A step has begun there, so that there may be files. */
  use(runId: string, workspace: string): void {
    const home = this.#runs.get(runId)?.byWorkspace.get(workspace)
    if (home) home.used = true
  }

  isUsed(runId: string, workspace: string): boolean {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.used === true
  }

  /** Nothing of the run waits for a runner on which none of it has begun. True: it has no home any more. */
  leaveUnused(runId: string, workspace: string): boolean {
    const { byWorkspace } = this.#runs.get(runId) ?? {}
    return byWorkspace?.get(workspace)?.used === false && byWorkspace.delete(workspace)
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
