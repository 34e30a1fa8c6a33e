import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { it, type TestContext } from 'node:test'
import { testEvents, testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { FileRunStore } from './file.ts'

async function oneRun(t: TestContext) {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-file-store-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const store = new FileRunStore({ dir })
  await store.create(testSpec('run_a'), testEvents(1, 2), { status: 'running' })
  await store.update('run_a', { events: testEvents(3), patch: { message: 'kept' } })
  const log = path.join(dir, 'run_a', 'events.jsonl')
  return { dir, store, log, summary: path.join(dir, 'run_a', 'run.json') }
}

it('ignores an incomplete last commit, wherever it is cut, and the next commit replaces it', async (t) => {
  const { dir, store, log } = await oneRun(t)
  const before = readFileSync(log)
  await store.update('run_a', { events: testEvents(4, 2), patch: { message: 'torn' } })
  const after = readFileSync(log)
  for (const bytes of [before.length + 1, before.length + 60, after.length - 30, after.length - 1]) {
    writeFileSync(log, after.subarray(0, bytes))
    const again = new FileRunStore({ dir })
    const run = await again.get('run_a')
    assert.deepEqual([run?.last_seq, run?.message], [3, 'kept'])
    assert.deepEqual((await again.list({ limit: 1 })).runs, [run])
    assert.deepEqual(await again.events('run_a', 0, 10), testEvents(1, 3))
    assert.equal(statSync(log).size, bytes)
    await again.update('run_a', { events: testEvents(4) })
    assert.deepEqual(await new FileRunStore({ dir }).events('run_a', 0, 10), testEvents(1, 4))
  }
})

it('gives nobody else access to the folder of a run', async (t) => {
  const { dir } = await oneRun(t)
  assert.equal(statSync(path.join(dir, 'run_a')).mode & 0o777, 0o700)
})

it('ignores zeros that a power failure leaves at the end', async (t) => {
  const { dir, log } = await oneRun(t)
  appendFileSync(log, Buffer.alloc(5000))
  const again = new FileRunStore({ dir })
  await again.update('run_a', { events: testEvents(4) })
  assert.deepEqual(await again.events('run_a', 0, 10), testEvents(1, 4))
})

it('does not cut a log that is damaged before its end, and the error names the file and the place', async (t) => {
  const { dir, log } = await oneRun(t)
  const text = readFileSync(log, 'utf8').replace('event 2', 'event "2')
  writeFileSync(log, text)
  const again = new FileRunStore({ dir })
  const named = (error: Error & { code?: string }) =>
    error.code === 'store_failed' && /events\.jsonl is damaged at byte \d+/.test(error.message)
  await assert.rejects(again.get('run_a'), named)
  await assert.rejects(again.update('run_a', { events: testEvents(4) }), named)
  assert.equal(readFileSync(log, 'utf8'), text)
})

it('the log makes up for a missing, old or corrupt run.json', async (t) => {
  const { dir, store, summary } = await oneRun(t)
  const old = readFileSync(summary)
  await store.update('run_a', { events: testEvents(4), patch: { status: 'success' } })
  const expected = await store.get('run_a')
  const spoil = [
    () => rmSync(summary),
    () => writeFileSync(summary, old),
    () => writeFileSync(summary, '{"log_b'),
  ]
  for (const step of spoil) {
    step()
    assert.deepEqual((await new FileRunStore({ dir }).list({ limit: 5 })).runs, [expected])
  }
})

it('shows what another process writes to the same folder', async (t) => {
  const { dir, store } = await oneRun(t)
  const reader = new FileRunStore({ dir })
  assert.equal((await reader.get('run_a'))?.last_seq, 3)
  await store.update('run_a', { events: testEvents(4, 2), patch: { status: 'success' } })
  await store.create(testSpec('run_b', { created_at: '2025-01-16T00:00:00.000Z' }), testEvents(1))
  assert.deepEqual(await reader.events('run_a', 3, 10), testEvents(4, 2))
  const { runs } = await reader.list({ limit: 5 })
  assert.deepEqual(
    runs.map((run) => [run.run_id, run.status]),
    [
      ['run_b', 'queued'],
      ['run_a', 'success'],
    ],
  )
  await assert.rejects(reader.create(testSpec('run_b'), []), { code: 'run_exists' })
})

it('reads logs again that it no longer holds in memory', async (t) => {
  const { dir } = await oneRun(t)
  const store = new FileRunStore({ dir, maxLogs: 2 })
  await store.get('run_a')
  for (let n = 0; n < 3; n++) await store.create(testSpec(`run_${n}`), [])
  await store.update('run_a', { events: testEvents(4) })
  assert.deepEqual(await store.events('run_a', 0, 10), testEvents(1, 4))
})

it('removes what a crash left unfinished, and leaves foreign files alone', async (t) => {
  const { dir } = await oneRun(t)
  const stale = path.join(dir, '.new-run_x-1')
  for (const folder of [stale, path.join(dir, '.new-run_y-2'), path.join(dir, 'empty')]) mkdirSync(folder)
  utimesSync(stale, 1000, 1000)
  writeFileSync(path.join(dir, 'notes.txt'), 'mine')
  const again = new FileRunStore({ dir })
  assert.deepEqual((await again.list({ limit: 5 })).runs.length, 1)
  assert.deepEqual(readdirSync(dir).sort(), ['.new-run_y-2', 'empty', 'notes.txt', 'run_a'])
})

it('refuses a run id that is not a valid folder name', async (t) => {
  const { store } = await oneRun(t)
  for (const id of ['../x', 'a/b', '.', '', 'x'.repeat(101)])
    await assert.rejects(store.create(testSpec(id), []), { code: 'bad_request' })
})
