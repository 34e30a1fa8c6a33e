import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { it, type TestContext } from 'node:test'
import { testEvents, testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { CommitMark, missingCommits } from './commit-mark.ts'
import { openSqliteStores } from './open.ts'

/** Makes a data folder as a killed hub leaves it, after so many commits. */
async function killedHub(t: TestContext, commits: number): Promise<(name: string) => string> {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-mark-'))
  const stores = await openSqliteStores({ file: path.join(dir, 'live', 'errand.db') })
  t.after(() => {
    stores.close()
    rmSync(dir, { recursive: true })
  })
  await stores.runs.create(testSpec('run_a'), testEvents(1))
  for (let seq = 2; seq <= commits; seq++) await stores.runs.update('run_a', { events: testEvents(seq) })
  return (name) => {
    cpSync(path.join(dir, 'live'), path.join(dir, name), { recursive: true })
    return path.join(dir, name, 'errand.db')
  }
}

async function missingAt(t: TestContext, file: string): Promise<number> {
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  return stores.missingCommits
}

it('the database of a killed hub lacks nothing', async (t) => {
  const copy = await killedHub(t, 20)
  assert.equal(await missingAt(t, copy('whole')), 0)
})

it('reports how many commits a truncated or missing write-ahead log lacks, once', async (t) => {
  const copy = await killedHub(t, 20)
  const cut = copy('cut')
  const wal = `${cut}-wal`
  truncateSync(wal, statSync(wal).size - 1)
  assert.equal(await missingAt(t, cut), 1)
  const gone = copy('gone')
  rmSync(`${gone}-wal`)
  const stores = await openSqliteStores({ file: gone })
  assert.ok(stores.missingCommits >= 20, String(stores.missingCommits))
  await stores.runs.create(testSpec('run_b'), testEvents(1))
  stores.close()
  assert.equal(await missingAt(t, gone), 0)
})

it('a mark that is behind, as after a power failure, or unreadable reports nothing missing', async (t) => {
  const copy = await killedHub(t, 20)
  const behind = copy('behind')
  truncateSync(`${behind}-commits`, 0)
  assert.equal(await missingAt(t, behind), 0)
  const unknown = copy('unknown')
  rmSync(`${unknown}-commits`)
  assert.equal(await missingAt(t, unknown), 0)
})

it('the count wraps around at 32 bits', (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-mark-'))
  const file = path.join(dir, 'errand.db')
  const db = new DatabaseSync(file)
  t.after(() => {
    db.close()
    rmSync(dir, { recursive: true })
  })
  db.exec(`PRAGMA user_version = ${2 ** 31 - 1}`)
  const mark = new CommitMark(db, file)
  for (let count = 0; count < 3; count++) {
    mark.count()
    mark.committed()
    assert.equal(missingCommits(db, file), 0)
  }
  db.exec(`PRAGMA user_version = ${2 ** 31 - 1}`)
  assert.equal(missingCommits(db, file), 3)
  mark.close()
})
