import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import type { RunStore } from '../../engine/ports.ts'
import { FileRunStore } from '../../stores/runs/file.ts'
import { takeFolderLock } from './folder-lock.ts'

export interface StateFolder {
  store: RunStore
  /** Resumes the run and the runs that it started. Throws `run_not_found`. */
  resume(engine: Engine): Promise<void>
  release(): void
}

/** Opens the folder of `--state` for one run of this process. Throws `conflict` if another process has that run. */
export async function openStateFolder(folder: string, runId: string): Promise<StateFolder> {
  const place = { path: folder, what: 'state folder', option: '--state' }
  const lock = takeFolderLock(place, join('locks', runId))
  if ('holder' in lock) {
    throw new ErrandError(
      'conflict',
      `Run ${runId} in ${folder} is being run by process ${lock.holder.pid}.`,
      {
        hint: 'Wait for it, or end it with Ctrl-C where it runs.',
      },
    )
  }
  const store = new FileRunStore({ dir: join(folder, 'runs') })
  return { store, resume: (engine) => resume(store, engine, folder, runId), release: lock.release }
}

async function resume(store: RunStore, engine: Engine, folder: string, runId: string): Promise<void> {
  if ((await store.get(runId)) === undefined) {
    const { runs } = await store.list({ limit: 20, statuses: ['queued', 'running'] })
    const hint =
      runs.length === 0
        ? 'That folder has no open runs.'
        : `Open runs there: ${runs.map((run) => run.run_id).join(', ')}`
    throw new ErrandError('run_not_found', `Run ${runId} not found in ${folder}.`, { hint })
  }
  const family = [runId]
  for (const parent_run_id of family) {
    const { runs } = await store.list({ limit: 500, parent_run_id })
    family.push(...runs.map((run) => run.run_id))
  }
  await engine.resume(family)
}
