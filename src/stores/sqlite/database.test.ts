import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { it, type TestContext } from 'node:test'
import { testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { openDatabase } from './database.ts'
import { openSqliteStores } from './open.ts'
import { hubMigrations, runMigrations } from './schema.ts'

function tempFile(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-sqlite-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return path.join(dir, 'deep', 'errand.db')
}
const one = { version: 1, name: 'one', sql: 'CREATE TABLE a (x)' }
const two = { version: 2, name: 'two', sql: 'CREATE TABLE b (x)' }

it('applies each migration once, and later ones afterwards', (t) => {
  const file = tempFile(t)
  for (const list of [[one], [one], [one, two], [one, two]]) openDatabase(file, { part: list }).close()
  openDatabase(file, { part: [one, two], other: [{ ...one, sql: 'CREATE TABLE c (x)' }] }).close()
  const db = openDatabase(file, { part: [one, two], other: [{ ...one, sql: 'CREATE TABLE c (x)' }] })
  t.after(() => db.close())
  const rows = db.prepare('SELECT part, version FROM migrations ORDER BY part, version').all()
  assert.deepEqual(
    rows.map((row) => `${row.part}${row.version}`),
    ['other1', 'part1', 'part2'],
  )
})

it('a migration that fails changes nothing', (t) => {
  const file = tempFile(t)
  openDatabase(file, { part: [one] }).close()
  const broken = { ...two, sql: 'CREATE TABLE b (x); CREATE TABLE a (x)' }
  assert.throws(() => openDatabase(file, { part: [one, broken] }), { code: 'store_failed' })
  openDatabase(file, { part: [one, two] }).close()
})

it('gives the tokens of enrolled runners to their tenant, and leaves tokens that people created to them', async (t) => {
  const file = tempFile(t)
  const accounts = hubMigrations.accounts!.filter(({ version }) => version <= 2)
  const db = openDatabase(file, { ...hubMigrations, accounts })
  db.exec(`
    INSERT INTO users VALUES ('u1', 'ada', 'admin', 'acme', 'hash', '2025', 0);
    INSERT INTO tokens (id, name, user_id, scope, token_sha256, created_at, runner_id, runner_group) VALUES
      ('t1', 'runner r1', 'u1', 'runner', 's1', '2025', 'r1', 'gpu'),
      ('t2', 'any runner', 'u1', 'runner', 's2', '2025', NULL, NULL),
      ('t3', 'enrolment', 'u1', 'enroll', 's3', '2025', 'r1', NULL),
      ('t4', 'given to the hub at its start (runner)', 'u1', 'runner', 's4', '2025', NULL, NULL)`)
  db.close()
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  const whose = (await stores.accounts.tokens({ tenant: 'acme' })).map(
    ({ id, user_id, tenant, created_by }) => [...[id, user_id, tenant, created_by]],
  )
  assert.deepEqual(whose, [
    ['t1', undefined, 'acme', 'ada'],
    ['t2', 'u1', undefined, undefined],
    ['t3', 'u1', undefined, undefined],
    ['t4', undefined, 'acme', 'ada'],
  ])
  assert.equal((await stores.accounts.user('u1'))?.name, 'ada')
  const own = { id: 't1', name: 'runner r1', tenant: 'acme', created_by: 'ada', scope: 'runner' }
  assert.deepEqual(await stores.accounts.tokenByHash('s1'), {
    token: { ...own, token_sha256: 's1', created_at: '2025', group: 'gpu', runner_id: 'r1' },
  })
  assert.equal(await stores.accounts.deleteUser('u1'), true)
  assert.deepEqual(
    (await stores.accounts.tokens()).map(({ id }) => id),
    ['t1', 't4'],
  )
})

it('keeps users and tokens when names become specific to a tenant', async (t) => {
  const file = tempFile(t)
  const accounts = hubMigrations.accounts!.filter(({ version }) => version <= 4)
  const db = openDatabase(file, { ...hubMigrations, accounts })
  db.exec(`
    INSERT INTO users VALUES ('u1', 'ada', 'admin', 'acme', 'hash', '2025', 0);
    INSERT INTO tokens (id, name, user_id, scope, token_sha256, created_at) VALUES ('t1', 'ci', 'u1', 'api', 's1', '2025')`)
  db.close()
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  const user = await stores.accounts.userByName({ tenant: 'acme', name: 'Ada' })
  assert.equal((await stores.accounts.tokenByHash('s1'))?.token.name, 'ci')
  await stores.accounts.createUser({ ...user!, id: 'u2', tenant: 'default' })
  await stores.accounts.deleteUser('u1')
  assert.equal(await stores.accounts.token('t1'), undefined)
})

it('ends sessions with readable ids, deletes their signing secret, and gives tokens no permission', async (t) => {
  const file = tempFile(t)
  const accounts = hubMigrations.accounts!.filter(({ version }) => version <= 6)
  const db = openDatabase(file, { ...hubMigrations, accounts })
  db.exec(`
    INSERT INTO users VALUES ('u1', 'ada', 'admin', 'acme', 'hash', '2025', 0);
    INSERT INTO tokens (id, name, user_id, scope, token_sha256, created_at) VALUES ('t1', 'ci', 'u1', 'api', 's1', '2025');
    INSERT INTO sessions VALUES ('the-id-of-a-session', 'u1', '2025', '2026');
    INSERT INTO settings VALUES ('session_secret', 'what-signs-sessions'), ('made_secret', 'what-makes-tokens'), ('hub_id', '1a2b')`)
  db.close()
  const stores = await openSqliteStores({ file })
  assert.equal(await stores.accounts.session('the-id-of-a-session'), undefined)
  assert.equal(await stores.accounts.setting('hub_id'), '1a2b')
  const token = await stores.accounts.token('t1')
  assert.deepEqual([token?.allow, token?.made_by, token?.as_login], [undefined, undefined, undefined])
  stores.close()
  const bytes = readFileSync(file)
  for (const text of ['the-id-of-a-session', 'what-signs-sessions', 'what-makes-tokens'])
    assert.ok(!bytes.includes(text), text)
})

it('keeps the runners of all tenants when ids become specific to a tenant', async (t) => {
  const file = tempFile(t)
  const accounts = hubMigrations.accounts!.filter(({ version }) => version <= 5)
  const db = openDatabase(file, { ...hubMigrations, accounts })
  db.exec(`
    INSERT INTO runners (id, runner_group, hostname, cpus, memory_bytes, labels, mode, version, slots, first_seen_at,
      last_seen_at, tenant, draining) VALUES
      ('box1', 'gpu', 'a', 2, 3, '{}', 'all', '0.1.0', 4, '2025', '2026', 'acme', 1),
      ('box2', 'default', 'b', 2, 3, '{}', 'all', '0.1.0', 4, '2025', '2026', 'default', 0)`)
  db.close()
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  const [box1, box2] = await stores.accounts.runners()
  const seen = { cpus: 2, memory_bytes: 3, labels: {}, mode: 'all', version: '0.1.0', slots: 4 }
  const times = { first_seen_at: '2025', last_seen_at: '2026' }
  assert.deepEqual(box1, {
    ...{ id: 'box1', group: 'gpu', hostname: 'a', tenant: 'acme', draining: true },
    ...{ ...seen, ...times },
  })
  assert.deepEqual([box2?.id, box2?.tenant, box2?.draining], ['box2', 'default', false])
  await stores.accounts.saveRunner({ ...box1!, tenant: 'default', draining: false })
  assert.deepEqual(
    (await stores.accounts.runners()).map(({ id, tenant, draining }) => `${id} ${tenant} ${draining}`),
    ['box1 acme true', 'box1 default false', 'box2 default false'],
  )
})

it('refuses a database that a newer version wrote, and leaves it unchanged', (t) => {
  const file = tempFile(t)
  openDatabase(file, { part: [one, two] }).close()
  const before = readFileSync(file)
  const newer = /newer Errand \(part version 2, this one knows 1\)/
  assert.throws(() => openDatabase(file, { part: [one] }), { code: 'store_failed', message: newer })
  assert.throws(() => openDatabase(file, {}), { code: 'store_failed' })
  assert.deepEqual(readFileSync(file), before)
})

it("refuses another program's database, and a file that is not a database", (t) => {
  const file = tempFile(t)
  openDatabase(file, {}).close()
  const foreign = `${file}.foreign`
  const db = new DatabaseSync(foreign)
  db.exec('CREATE TABLE precious (x)')
  db.close()
  assert.throws(() => openDatabase(foreign, { part: [one] }), {
    code: 'store_failed',
    message: /another program/,
  })
  writeFileSync(
    `${file}.text`,
    'This is a letter to my grandmother, and long enough to be a page.'.repeat(100),
  )
  assert.throws(() => openDatabase(`${file}.text`, {}), {
    code: 'store_failed',
    hint: 'Use another file, or move this one away.',
  })
})

it('names the file that cannot be opened if a file is in the place of the folder', () => {
  const file = path.join(import.meta.filename, 'errand.db')
  assert.throws(
    () => openDatabase(file, {}),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'store_failed')
      assert.ok(error.message.includes(file))
      return true
    },
  )
})

it('only its owner can read the database, whatever folder it is in', async (t) => {
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

it('closed stores answer with a clear error', async () => {
  const stores = await openSqliteStores({ file: ':memory:' })
  stores.close()
  stores.close()
  await assert.rejects(stores.runs.create(testSpec('run_a'), []), { code: 'store_failed', message: /closed/ })
  await assert.rejects(stores.runs.get('run_a'), { code: 'store_failed' })
  await stores.runs.close()
})

it('recognizes a rolled-back run from before this was stored separately', async (t) => {
  const file = tempFile(t)
  const before = openDatabase(file, { runs: runMigrations.filter(({ version }) => version < 4) })
  const insert = before.prepare(
    `INSERT INTO runs (n, run_id, created_at, status, workflow_name, owner, tenant, last_seq)
      VALUES (?, ?, '2025-01-01T00:00:00.000Z', 'success', ?, 'ann', 'default', 0)`,
  )
  const spec = before.prepare('INSERT INTO run_specs (n, spec) VALUES (?, ?)')
  const runs = [
    ['run_a', 'deploy'],
    ['run_undo', 'rollback of deploy', 'run_a'],
    ['run_again', 'rollback of deploy', 'run_undo'],
    ['run_other', 'rollback of deploy'],
  ] as const
  for (const [index, [runId, name, retryOf]] of runs.entries()) {
    insert.run(index + 1, runId, name)
    spec.run(index + 1, JSON.stringify(testSpec(runId, { workflow_name: name, retry_of: retryOf })))
  }
  before.close()
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  const ids = async (rolls_back: string) =>
    (await stores.runs.list({ rolls_back, limit: 10 })).runs.map(({ run_id }) => run_id)
  assert.deepEqual(await ids('run_a'), ['run_undo'])
  assert.deepEqual(await ids('run_undo'), [])
})

it('counts the output of ended runs when the database is migrated', async (t) => {
  const file = tempFile(t)
  const runs = runMigrations.filter(({ version }) => version <= 4)
  const db = openDatabase(file, { ...hubMigrations, runs })
  const add = db.prepare(
    `INSERT INTO runs (run_id, created_at, status, workflow_name, owner, tenant, last_seq, finished_at)
      VALUES (?, '2025', ?, 'flow', ?, ?, 2, ?)`,
  )
  add.run('run_a', 'success', 'ann', 'default', '2025')
  add.run('run_b', 'failed', 'ann', 'default', '2025')
  add.run('run_c', 'running', 'ann', 'default', null)
  add.run('run_d', 'success', 'ann', 'other', '2025')
  add.run('run_e', 'success', 'bob', 'default', '2025')
  const event = db.prepare('INSERT INTO events (run_id, seq, json) VALUES (?, ?, ?)')
  for (const id of ['run_a', 'run_b', 'run_c', 'run_d'])
    for (const seq of [1, 2])
      event.run(id, seq, JSON.stringify({ seq, type: 'output', offset: 0, length: 5 }))
  event.run('run_e', 1, JSON.stringify({ seq: 1, type: 'run.started', length: 5 }))
  db.close()
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  const found = (await stores.runs.outputByUser()).map(({ tenant, owner, bytes }) => [tenant, owner, bytes])
  assert.deepEqual(found, [
    ['default', 'ann', 20],
    ['other', 'ann', 10],
  ])
  await stores.runs.update('run_c', { events: [], patch: { status: 'success', output_bytes: 100 } })
  assert.equal((await stores.runs.outputByUser())[0]!.bytes, 120)
})

it('numbers the tries of runs from before chains were stored, but no rollback among them', async (t) => {
  const file = tempFile(t)
  const before = openDatabase(file, { runs: runMigrations.filter(({ version }) => version < 7) })
  const insert = before.prepare(
    `INSERT INTO runs (n, run_id, created_at, status, workflow_name, owner, tenant, last_seq, rolls_back)
      VALUES (?, ?, ?, 'success', 'flow', 'ann', 'default', 0, ?)`,
  )
  const spec = before.prepare('INSERT INTO run_specs (n, spec) VALUES (?, ?)')
  const runs = [
    ['run_a'],
    ['run_b', 'run_a'],
    ['run_c', 'run_b'],
    ['run_d', 'run_a'],
    ['run_u', 'run_a', 'run_a'],
    ['run_z', 'run_gone'],
  ] as const
  for (const [index, [runId, retryOf, rollsBack]] of runs.entries()) {
    insert.run(index + 1, runId, `2025-01-01T00:00:0${index}.000Z`, rollsBack ?? null)
    const vars = { NOTE: '"retry_of":' }
    spec.run(index + 1, JSON.stringify(testSpec(runId, { retry_of: retryOf, rolls_back: rollsBack, vars })))
  }
  before.close()
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  const { runs: found } = await stores.runs.list({ limit: 10 })
  assert.deepEqual(
    found.reverse().map((run) => [run.run_id, run.first_run, run.try, run.tries]),
    [
      ['run_a', undefined, undefined, 4],
      ['run_b', 'run_a', 2, 4],
      ['run_c', 'run_a', 3, 4],
      ['run_d', 'run_a', 4, 4],
      ['run_u', undefined, undefined, undefined],
      ['run_z', 'run_gone', 2, 2],
    ],
  )
  const latest = await stores.runs.list({ latest: true, limit: 10 })
  assert.deepEqual(
    latest.runs.map(({ run_id }) => run_id),
    ['run_z', 'run_u', 'run_d'],
  )
})
