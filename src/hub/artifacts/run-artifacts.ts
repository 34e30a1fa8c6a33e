import type { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import type { RunRecord, RunView } from '../../contract/run.ts'
import type { ListedArtifact } from '../../contract/run-api.ts'
import { isFinalRun } from '../../contract/status.ts'
import { lastChange, patchOf } from '../../contract/tasks/task-change.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'
import type { ArtifactPlace, ArtifactStore, Measured } from '../../stores/artifacts/artifact-store.ts'

export interface RunArtifactsOptions {
  engine: Pick<EngineFace, 'get' | 'view'>
  store: ArtifactStore
  log: Log
}

const SWEEP_MS = 24 * 3_600_000

/** The artifacts of runs: their logs say which there are, and the store has the bytes. */
export class RunArtifacts {
  readonly #options: RunArtifactsOptions
  #timer: NodeJS.Timeout | undefined

  constructor(options: RunArtifactsOptions) {
    this.#options = options
  }

  async list(runId: string): Promise<ListedArtifact[]> {
    return artifactsIn(await this.#options.engine.view(runId))
  }

  /** Returns an artifact. Throws `not_found`. */
  async find(runId: string, artifactId: string): Promise<ListedArtifact> {
    const found = (await this.list(runId)).find(({ artifact_id }) => artifact_id === artifactId)
    if (found) return found
    throw new ErrandError('not_found', `The run "${runId}" has no artifact "${artifactId}".`, {
      hint: `List its artifacts with: errand runs artifacts ${runId}`,
    })
  }

  /**
   * Returns the last diff that a run has stored, or the patch of one of its commits, counted from 1. Throws
   * `not_found`.
   */
  async diff(runId: string, commit?: number): Promise<ListedArtifact> {
    const listed = await this.list(runId)
    const change = lastChange(listed.map((artifact) => ({ run_id: runId, artifact })))
    const artifact = change && (commit === undefined ? change.diff : patchOf(change, commit))
    const found = listed.find((each) => each.artifact_id === artifact?.artifact_id)
    if (found) return found
    if (change !== undefined)
      throw new ErrandError('not_found', `The change of run "${runId}" has no patch for commit ${commit}.`, {
        hint: `List its artifacts with: errand runs artifacts ${runId}`,
      })
    throw new ErrandError('not_found', `The run "${runId}" has no diff.`, {
      hint: 'The run of a task stores its diff when the change is taken out of the box.',
    })
  }

  /**
   * Stores bytes for an attempt of an open run; its runner then reports them. Throws as `ArtifactStore.put` does,
   * `not_found` for another tenant's run, and `run_ended`.
   */
  async put(tenant: string, attemptId: string, measured: Measured, content: Readable): Promise<void> {
    const { runId } = splitAttemptId(attemptId)
    const run = await this.#runOf(tenant, runId)
    if (isFinalRun(run.status))
      throw new ErrandError(
        'run_ended',
        `Run ${runId} has ended (${run.status}) and accepts no more artifacts.`,
      )
    await this.#options.store.put(placeOf(run), measured, content)
  }

  /** Same as `ArtifactStore.open`. */
  async open(run: RunRecord, artifact: Measured, range?: { start: number; end: number }) {
    return await this.#options.store.open(placeOf(run), artifact, range)
  }

  /** Opens an artifact for a runner of the tenant. Throws `not_found`, also for another tenant's. */
  async openFor(tenant: string, runId: string, artifactId: string) {
    const run = await this.#runOf(tenant, runId)
    const artifact = await this.find(runId, artifactId)
    return { artifact, content: await this.open(run, artifact) }
  }

  /** Removes bytes that no log mentions; now and then every day. */
  keepSwept(): void {
    const { log } = this.#options
    const sweep = () =>
      void this.sweep(Date.now()).catch((error: Error) =>
        log(`Artifacts that no log mentions could not be removed: ${error.message}`, { level: 'warn' }),
      )
    this.close()
    this.#timer = setInterval(sweep, SWEEP_MS).unref()
    sweep()
  }

  /** Returns how many were removed. */
  async sweep(nowMs: number): Promise<number> {
    const { engine, store } = this.#options
    return await store.sweep(async (runId) => {
      if ((await engine.get(runId)) === undefined) return undefined
      return new Set((await this.list(runId)).map(({ sha256 }) => sha256))
    }, nowMs)
  }

  /** Stops the daily removal; may be called twice. */
  close(): void {
    clearInterval(this.#timer)
  }

  async #runOf(tenant: string, runId: string): Promise<RunRecord> {
    const run = await this.#options.engine.get(runId)
    if (run?.tenant === tenant) return run
    throw new ErrandError('not_found', `Run "${runId}" not found.`)
  }
}

const placeOf = ({ tenant, owner, run_id }: RunRecord): ArtifactPlace => ({ tenant, owner, run_id })

function artifactsIn({ steps }: RunView): ListedArtifact[] {
  return steps.flatMap(({ step, instances }) =>
    instances.flatMap(({ host, attempts }) =>
      attempts.flatMap(({ attempt_id, artifacts = [] }) =>
        artifacts.map((artifact) => ({ ...artifact, step, host, attempt_id })),
      ),
    ),
  )
}
