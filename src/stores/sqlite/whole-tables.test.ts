import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { it, type TestContext } from 'node:test'
import { testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { openSqliteStores } from './open.ts'

/** Makes a hub's database with a run, and closes it for a test to change. */
async function closedDatabase(t: TestContext) {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-tables-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = path.join(dir, 'errand.db')
  const stores = await openSqliteStores({ file })
  await stores.runs.create(testSpec('run_a'), [])
  stores.close()
  const alter = (sql: string) => {
    const db = new DatabaseSync(file)
    db.exec(sql)
    db.close()
  }
  return { file, alter }
}

for (const [what, sql, message] of [
  ['a table that is gone', 'DROP TABLE events', /it lacks table events/],
  ['an index that is gone', 'DROP INDEX runs_shared', /it lacks index runs_shared/],
  ['a column that is gone', 'ALTER TABLE runs DROP COLUMN list_row', /it lacks/],
] as const)
  it(`refuses to open a hub's database with ${what}, and says what to do`, async (t) => {
    const { file, alter } = await closedDatabase(t)
    if (what === 'a column that is gone') alter('DROP INDEX runs_without_row')
    alter(sql)
    await assert.rejects(openSqliteStores({ file }), (error: Error & { code: string; hint: string }) => {
      assert.equal(error.code, 'store_failed')
      assert.match(error.message, /errand\.db is damaged: /)
      assert.match(error.message, message)
      assert.match(error.hint, /restore a backup/)
      return true
    })
  })

for (const [name, page] of [
  ['runs', 'table runs'],
  ['runs_by_time', 'index runs_by_time'],
] as const)
  it(`refuses to open a hub's database in which the pages of ${page} are damaged`, async (t) => {
    const { file } = await closedDatabase(t)
    const db = new DatabaseSync(file)
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    const root = Number(db.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(name)!.rootpage)
    const size = Number(db.prepare('PRAGMA page_size').get()!.page_size)
    db.close()
    const descriptor = openSync(file, 'r+')
    writeSync(descriptor, Buffer.alloc(size, 0x5a), 0, size, (root - 1) * size)
    closeSync(descriptor)
    await assert.rejects(openSqliteStores({ file }), {
      code: 'store_failed',
      message: new RegExp(`is damaged: ${page} cannot be read: `),
    })
  })

it('reopens an intact database with its content', async (t) => {
  const { file } = await closedDatabase(t)
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  assert.equal((await stores.runs.open()).length, 1)
})
