import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { ErrandClient } from '../../client/client.ts'
import { ErrandError } from '../../contract/errors.ts'
import { lastChange, patchOf } from '../../contract/tasks/task-change.ts'
import { FolderArtifacts } from '../../runner/artifacts/folder-artifacts.ts'
import { errandHome } from './errand-home.ts'

/** Artifacts of runs, as a hub answers it. */
export type KeptArtifacts = Pick<ErrandClient['runs'], 'artifacts' | 'artifact' | 'diff'>

/** Artifacts that a run of this machine has kept, of `errand run` and `errand agent`; undefined: nothing of such a run is here. */
export async function keptHere(runId: string): Promise<KeptArtifacts | undefined> {
  const folder = new FolderArtifacts(join(errandHome(), 'local', 'artifacts'))
  const artifacts = await folder.list(runId)
  if (artifacts === undefined) return undefined
  const bytes = async (id: string) =>
    Readable.toWeb(await folder.get(runId, id)) as ReadableStream<Uint8Array>
  return {
    artifacts: async () => ({ run_id: runId, artifacts }),
    artifact: (_run, id) => bytes(id),
    async diff(_run, { commit } = {}) {
      const change = lastChange(artifacts.map((artifact) => ({ run_id: runId, artifact })))
      const found = change && (commit === undefined ? change.diff : patchOf(change, commit))
      if (found !== undefined) return await bytes(found.artifact_id)
      const what = change === undefined ? 'no diff' : `no patch of a commit ${commit}`
      throw new ErrandError('not_found', `The run "${runId}" has kept ${what}.`, {
        hint: `errand runs artifacts ${runId} lists what it has kept.`,
      })
    },
  }
}
