import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { RunSecretFiles } from './local-sessions.ts'

test('the secrets of a run are sealed in their own file, can be read back, and are gone once dropped', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-run-secrets-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const run = { run_id: 'run_a', tenant: 'default', owner: 'local' }
  assert.deepEqual(await new RunSecretFiles(folder).ofRun(run), {})
  assert.deepEqual(readdirSync(folder), [])
  await new RunSecretFiles(folder).setOfRun(run, { ERRAND_ENV_KEY: 'sesame-open-1' })
  for (const { parentPath, name } of readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (each) => each.isFile(),
  ))
    assert.ok(!readFileSync(join(parentPath, name)).includes('sesame'), name)
  assert.deepEqual(await new RunSecretFiles(folder).ofRun(run), { ERRAND_ENV_KEY: 'sesame-open-1' })
  assert.deepEqual(await new RunSecretFiles(folder).ofRun({ ...run, run_id: 'run_b' }), {})
  await new RunSecretFiles(folder).dropOfRun(run)
  await new RunSecretFiles(folder).dropOfRun(run)
  assert.deepEqual(await new RunSecretFiles(folder).ofRun(run), {})
})
