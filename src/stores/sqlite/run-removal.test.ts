import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { it, type TestContext } from 'node:test'
import { testEvents, testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { openSqliteStores } from './open.ts'

function tempFile(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-removal-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return path.join(dir, 'errand.db')
}

it('returns the space of removed runs to the system', async (t) => {
  const file = tempFile(t)
  const { runs, close } = await openSqliteStores({ file })
  const ids = Array.from({ length: 20 }, (_, n) => `run_${n}`)
  await Promise.all(ids.map((id) => runs.create(testSpec(id), testEvents(1, 3000), { status: 'success' })))
  close()
  const full = statSync(file).size
  assert.ok(full > 5_000_000, `${full} bytes`)
  const again = await openSqliteStores({ file })
  await again.runs.remove(ids.slice(1))
  assert.equal((await again.runs.events('run_0', 0, 5000)).length, 3000)
  again.close()
  assert.ok(statSync(file).size < full / 8, `${statSync(file).size} of ${full} bytes are left`)
})

it('finishes a removal that was interrupted by a kill, and does not reuse the id before', async (t) => {
  const file = tempFile(t)
  const first = await openSqliteStores({ file })
  await first.runs.create(testSpec('run_a'), testEvents(1, 10), { status: 'success' })
  first.close()
  const db = new DatabaseSync(file)
  db.exec("INSERT INTO removed_runs VALUES ('run_a'); DELETE FROM run_specs; DELETE FROM runs")
  db.close()
  const { runs, close } = await openSqliteStores({ file })
  t.after(close)
  assert.equal(await runs.get('run_a'), undefined)
  await assert.rejects(runs.create(testSpec('run_a'), testEvents(1)), { code: 'run_exists' })
  await runs.remove([])
  assert.deepEqual(await runs.events('run_a', 0, 10), [])
  await runs.create(testSpec('run_a'), testEvents(1))
})
