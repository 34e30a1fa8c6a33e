import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { ErrandClient } from '../../client/client.ts'
import { ErrandError } from '../../contract/errors.ts'
import { lastChange, patchOf } from '../../contract/tasks/task-change.ts'
import { FolderArtifacts } from '../../runner/artifacts/folder-artifacts.ts'
import { errandHome } from './errand-home.ts'

/** Gives access to the artifacts of runs, in the way of the client for a hub. */
export type StoredArtifacts = Pick<ErrandClient['runs'], 'artifacts' | 'artifact' | 'diff'>

/** Returns the artifacts that `errand run` or `errand agent` stored here for a run; undefined if there are none. */
export async function storedHere(runId: string): Promise<StoredArtifacts | undefined> {
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
      throw new ErrandError('not_found', `Run "${runId}" has stored ${what}.`, {
        hint: `List its artifacts with: errand runs artifacts ${runId}`,
      })
    },
  }
}
