import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { ArtifactSink } from '../../../runner/artifacts/artifact-keeper.ts'
import { servicesElsewhere, slotFoldersOf } from './services-elsewhere.ts'

test('a runner uses the services in its environment, also by their old names, and refuses an invalid address', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const sink = {} as ArtifactSink
  const of = (env: NodeJS.ProcessEnv) =>
    servicesElsewhere(env, { folder, slotFolders: slotFoldersOf(folder, []), sink, log: () => {} })
  assert.deepEqual(await of({}), {})
  const { slots, outbox } = await of({
    REPO_POOL_URL: 'https://pool.example',
    ERRAND_ARTIFACT_STORE_URL: 'https://store.example',
  })
  assert.deepEqual(slots?.runs(), [])
  await slots?.close()
  await outbox!.close()
  for (const name of ['REPO_POOL_URL', 'ARTIFACT_STORE_URL'])
    await assert.rejects(of({ [name]: 'nowhere' }), { code: 'invalid_argument', message: /"nowhere"/ })
})
