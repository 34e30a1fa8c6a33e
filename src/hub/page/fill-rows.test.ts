import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { fillRows } from './fill-rows.ts'

test('runs of an older database get their rows, even if the hub stopped in between', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-rows-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const database = join(folder, 'errand.db')
  const first = await testingHub(t, { database })
  const ids: string[] = []
  for (let n = 0; n < 5; n++) {
    const { run_id } = await first.engine.submit({ yaml: oneStep('fail'), owner: 'ann', tenant: 'default' })
    await first.engine.done(run_id)
    ids.push(run_id)
  }
  const rowOf = async (hub: typeof first, id: string) => (await hub.engine.get(id))?.list_row
  const before = await rowOf(first, ids[0]!)
  assert.match(before!, /"stops":"f"/)
  await first.close()
  const db = new DatabaseSync(database)
  db.exec('UPDATE runs SET list_row = NULL')
  // A run with a damaged log is skipped.
  db.prepare("UPDATE events SET json = '{' WHERE run_id = ?").run(ids[4]!)
  db.close()
  // The hub ended after two of them.
  const hub = await testingHub(t, { database: ':memory:' })
  const filled: string[] = []
  const left = new Set(ids)
  const half = fillRows({
    store: { withoutRow: async () => [...left] },
    engine: {
      async fillRow(id) {
        filled.push(id)
        left.delete(id)
        if (filled.length === 2) void half.close()
      },
    },
    log: () => {},
    pauseMs: 0,
  })
  await half.done
  assert.deepEqual(filled, ids.slice(0, 2))
  assert.deepEqual(
    hub.log.filter((line) => line.includes('rows')),
    [],
  )

  const second = await testingHub(t, { database })
  while ((await second.stores.runs.withoutRow(10)).length > 0) await new Promise(setImmediate)
  assert.deepEqual(await Promise.all(ids.map((id) => rowOf(second, id))), [...Array(4).fill(before), '{}'])
})
