import type { AttemptSpec } from '../../contract/attempt.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import type { RunnerKey } from './needs.ts'
import type { Runner } from './roster.ts'

interface Home {
  runner: RunnerKey
  used: boolean
}

interface Places {
  tenant: string
  byWorkspace: Map<string, Home>
  /** On which it has been. */
  seen: Set<RunnerKey>
}

/** On which runner a run works, so that its steps share one workspace. Hosts with equal needs share one. */
export class Homes {
  readonly #runs = new Map<string, Places>()

  of(runId: string, workspace: string): RunnerKey | undefined {
    return this.#runs.get(runId)?.byWorkspace.get(workspace)?.runner
  }

  /** True: it was another one, or none. */
  set(
    { run_id, tenant = DEFAULT_TENANT }: Pick<AttemptSpec, 'run_id' | 'tenant'>,
    workspace: string,
    runner: RunnerKey,
  ): boolean {
    const run: Places = this.#runs.get(run_id) ?? { tenant, byWorkspace: new Map(), seen: new Set() }
    this.#runs.set(run_id, run)
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

  /** The runner says that it has a workspace of the run. False: its tenant has no such run open. */
  found(runId: string, { tenant, key }: Runner): boolean {
    const run = this.#runs.get(runId)
    if (run?.tenant !== tenant) return false
    run.seen.add(key)
    return true
  }

  /** Forgets the run; answers the runners it has been on. */
  take(runId: string): Iterable<RunnerKey> {
    const seen = this.#runs.get(runId)?.seen ?? []
    this.#runs.delete(runId)
    return seen
  }
}
