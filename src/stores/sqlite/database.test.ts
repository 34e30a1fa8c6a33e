import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { it, type TestContext } from 'node:test'
import { olderDatabase } from '../../../test/support/stores/older-database.ts'
import { testSpec } from '../../../test/support/stores/runs-fixture.ts'
import type { ErrandError } from '../../contract/errors.ts'
import { isOlderDatabase, openDatabase } from './database.ts'
import { openSqliteStores } from './open.ts'
import { forgetProvisionedRunners } from './snapshot.ts'

function tempFile(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-sqlite-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return path.join(dir, 'deep', 'errand.db')
}
const one = { version: 1, name: 'one', sql: 'CREATE TABLE a (x)' }
const two = { version: 2, name: 'two', sql: 'CREATE TABLE b (x)' }

it('applies each migration once, and those that came later', (t) => {
  const file = tempFile(t)
  for (const list of [[one], [one], [one, two]]) openDatabase(file, list).close()
  const db = openDatabase(file, [one, two])
  t.after(() => db.close())
  const rows = db.prepare('SELECT part, version, name FROM migrations ORDER BY version').all()
  assert.deepEqual(
    rows.map(({ part, version, name }) => `${part} ${version} ${name}`),
    ['hub 1 one', 'hub 2 two'],
  )
})

it('a migration that fails changes nothing', (t) => {
  const file = tempFile(t)
  openDatabase(file, [one]).close()
  const broken = { ...two, sql: 'CREATE TABLE b (x); CREATE TABLE a (x)' }
  assert.throws(() => openDatabase(file, [one, broken]), { code: 'store_failed' })
  openDatabase(file, [one, two]).close()
})

it('refuses a database that a newer version wrote, and leaves it as it is', (t) => {
  const file = tempFile(t)
  openDatabase(file, [one, two]).close()
  const before = readFileSync(file)
  const newer = /newer Errand \(version 2 of its tables, this one knows 1\)/
  assert.throws(() => openDatabase(file, [one]), { code: 'store_failed', message: newer })
  assert.throws(() => openDatabase(file, []), { code: 'store_failed' })
  assert.deepEqual(readFileSync(file), before)
})

it('refuses a database from before the baseline, says what to do, and leaves it unchanged', async (t) => {
  const file = tempFile(t)
  olderDatabase(file)
  const before = readFileSync(file)
  await assert.rejects(openSqliteStores({ file }), (error: ErrandError) => {
    assert.equal(error.code, 'store_failed')
    assert.match(error.message, /errand\.db was written by an Errand from before 0\.1\.0/)
    assert.match(error.message, /\(accounts 1, runs 1\)/)
    assert.match(error.hint!, /errand up --new, which moves the old data aside/)
    assert.match(error.hint!, /restore its backups/)
    return true
  })
  assert.throws(() => forgetProvisionedRunners(file), { code: 'store_failed', message: /before 0\.1\.0/ })
  assert.deepEqual(readFileSync(file), before)
  assert.equal(isOlderDatabase(file), true)
})

it("refuses another program's database, and a file that is none", (t) => {
  const file = tempFile(t)
  openDatabase(file, []).close()
  const foreign = `${file}.foreign`
  const db = new DatabaseSync(foreign)
  db.exec('CREATE TABLE precious (x)')
  db.close()
  assert.throws(() => openDatabase(foreign, [one]), {
    code: 'store_failed',
    message: /another program/,
  })
  writeFileSync(
    `${file}.text`,
    'This is a letter to my grandmother, and long enough to be a page.'.repeat(100),
  )
  assert.throws(() => openDatabase(`${file}.text`, []), {
    code: 'store_failed',
    hint: 'Use another file, or move this one away.',
  })
})

it('says which file cannot be opened where a file stands in the way of the folder', () => {
  const file = path.join(import.meta.filename, 'errand.db')
  assert.throws(
    () => openDatabase(file, []),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'store_failed')
      assert.ok(error.message.includes(file))
      return true
    },
  )
})

it('only its owner may read the database, whatever folder it stands in', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-sqlite-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const stores = await openSqliteStores({ file: path.join(dir, 'errand.db') })
  t.after(() => stores.close())
  await stores.runs.create(testSpec('run_a'), [])
  const modes = readdirSync(dir).map((name) => [name, statSync(path.join(dir, name)).mode & 0o777])
  assert.deepEqual(modes.sort(), [
    ['errand.db', 0o600],
    ['errand.db-commits', 0o600],
    ['errand.db-shm', 0o600],
    ['errand.db-wal', 0o600],
  ])
})

it('the stores answer plainly after they were closed', async () => {
  const stores = await openSqliteStores({ file: ':memory:' })
  stores.close()
  stores.close()
  await assert.rejects(stores.runs.create(testSpec('run_a'), []), { code: 'store_failed', message: /closed/ })
  await assert.rejects(stores.runs.get('run_a'), { code: 'store_failed' })
  await stores.runs.close()
})
