import assert from 'node:assert/strict'
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { it } from 'node:test'
import { testEvents, testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { openSqliteStores } from './open.ts'
import { DatabaseReader } from './snapshot.ts'

const PAGE_BYTES = 4096

function damageOf(file: string): string[] {
  let reader: DatabaseReader | undefined
  try {
    reader = new DatabaseReader(file)
    return reader.damage()
  } catch (error) {
    return [(error as Error).message]
  } finally {
    reader?.close()
  }
}

it('finds a lost page of the database, whichever table it belongs to', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-damage-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = path.join(dir, 'errand.db')
  const stores = await openSqliteStores({ file })
  const large = { COLOUR: 'x'.repeat(3 * PAGE_BYTES) }
  for (const id of ['run_a', 'run_b'])
    await stores.runs.create(testSpec(id, { vars: large }), testEvents(1, 100))
  stores.close()
  assert.deepEqual(damageOf(file), [])
  const db = new DatabaseSync(file)
  const tables = db.prepare('SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0').all()
  const pages = statSync(file).size / PAGE_BYTES
  db.close()
  assert.ok(tables.length > 8)
  const unseen = []
  for (let page = 1; page <= pages; page++) {
    const copy = path.join(dir, 'copy.db')
    copyFileSync(file, copy)
    const descriptor = openSync(copy, 'r+')
    writeSync(descriptor, Buffer.alloc(PAGE_BYTES), 0, PAGE_BYTES, (page - 1) * PAGE_BYTES)
    closeSync(descriptor)
    if (damageOf(copy).length === 0) unseen.push(page)
  }
  assert.deepEqual(unseen, [])
})
