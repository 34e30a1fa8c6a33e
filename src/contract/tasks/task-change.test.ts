import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Artifact, ArtifactKind } from './artifact.ts'
import { lastChange, patchOf } from './task-change.ts'

const of = (run_id: string, artifact_id: string, kind: ArtifactKind, name: string) => ({
  run_id,
  artifact: {
    artifact_id,
    kind,
    name,
    bytes: 1,
    sha256: '0'.repeat(64),
    media_type: 'text/plain',
  } as Artifact,
})

test('the last change belongs to the last diff, with only the patches of the same attempt', () => {
  assert.equal(lastChange([of('run_a', '3.1', 'pack', 'checkpoint.pack')]), undefined)
  const change = lastChange([
    of('run_a', '3.1', 'diff', 'change.diff'),
    of('run_b', '3.1', 'diff', 'change.diff'),
    of('run_b', '3.2', 'patch', 'patch/0001.patch'),
    of('run_b', '13.1', 'diff', 'change.diff'),
    of('run_b', '13.3', 'patch', 'patch/0002.patch'),
    of('run_b', '13.2', 'patch', 'patch/0001.patch'),
    of('run_c', '4.1', 'file', 'out/patch.diff'),
  ])!
  assert.deepEqual([change.run_id, change.diff.artifact_id], ['run_b', '13.1'])
  assert.deepEqual(
    change.patches.map(({ artifact_id }) => artifact_id),
    ['13.2', '13.3'],
  )
  assert.equal(patchOf(change, 2)?.artifact_id, '13.3')
  assert.equal(patchOf(change, 3), undefined)
})
