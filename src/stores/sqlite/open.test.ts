import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { olderDatabase } from '../../../test/support/stores/older-database.ts'
import { lostDatabase, openSqliteStores, startEmpty } from './open.ts'

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'errand-lost-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return dir
}

test('an empty folder, one with a database, and an aborted first start have lost no database', async (t) => {
  const data = folder(t)
  assert.equal(lostDatabase(join(data, 'not there')), undefined)
  mkdirSync(join(data, 'output'))
  writeFileSync(join(data, 'errand.db'), '')
  assert.equal(lostDatabase(data), undefined)
  assert.equal(await startEmpty(data), undefined)
  writeFileSync(join(data, 'local-token'), 'a token')
  writeFileSync(join(data, 'errand.db'), 'a database')
  assert.equal(lostDatabase(data), undefined)
})

test("reports a missing or empty database next to a hub's other files, which can be moved aside", async (t) => {
  for (const left of ['local-token', 'output/run_a', 'artifacts/run_a']) {
    const data = folder(t)
    for (const name of ['output', 'artifacts']) mkdirSync(join(data, name))
    writeFileSync(join(data, left), 'x')
    writeFileSync(join(data, 'secrets.key'), 'a key')
    const gone = lostDatabase(data)!
    assert.equal(gone.code, 'store_failed')
    assert.match(gone.message, /errand\.db is missing/)
    assert.match(gone.hint!, /errand restore.*errand up --new/)
    writeFileSync(join(data, 'errand.db'), '')
    writeFileSync(join(data, 'errand.db-wal'), 'what may be left of it')
    assert.match(lostDatabase(data)!.message, /errand\.db is empty/)
    const aside = (await startEmpty(data))!
    assert.ok(existsSync(join(aside, left)) && existsSync(join(aside, 'errand.db-wal')))
    assert.deepEqual(readdirSync(data).sort(), [aside.slice(data.length + 1), 'secrets.key'])
    assert.equal(lostDatabase(data), undefined)
  }
})

test('a database from before the baseline can be put aside, and nothing is missing then', async (t) => {
  const data = folder(t)
  olderDatabase(join(data, 'errand.db'))
  mkdirSync(join(data, 'output'))
  writeFileSync(join(data, 'output/run_a'), 'x')
  await assert.rejects(openSqliteStores({ file: join(data, 'errand.db') }), { code: 'store_failed' })
  const aside = (await startEmpty(data))!
  assert.deepEqual(readdirSync(data), [aside.slice(data.length + 1)])
  assert.deepEqual(
    readdirSync(aside)
      .filter((name) => !name.includes('-'))
      .sort(),
    ['errand.db', 'output'],
  )
  const stores = await openSqliteStores({ file: join(data, 'errand.db') })
  stores.close()
  assert.equal(await startEmpty(data), undefined)
})
